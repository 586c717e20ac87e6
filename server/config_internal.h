/* What the parts of the config module share: the settings table and the kinds of values in it. */
#ifndef BASALT_SERVER_CONFIG_INTERNAL_H
#define BASALT_SERVER_CONFIG_INTERNAL_H

#include "codec/buf.h"
#include "server/config.h"

/* Room for any parsed value, aligned for any. */
#define CONFIG_VALUE_BYTES_MAX 144
union config_value {
    uint8_t bytes[CONFIG_VALUE_BYTES_MAX];
    uint64_t alignment;
    void *pointer_alignment;
};

struct setting;

/* What a value of some kind can do. Values live in memory of `size` bytes and move by plain copy.
 */
struct config_kind {
    size_t size;
    bool many_args; /* takes any number of arguments and checks that itself; else exactly one */
    /* Reads the arguments into *value. `config` holds the value of now, for settings that change
     * only a part of it or, while a file is read, add to it. On failure *value owns nothing and
     * err->message is the reason alone. */
    enum status (*parse)(const struct setting *setting, const struct config *config,
                         const struct bytes *args, size_t arg_count, void *value, struct err *err);
    /* Appends what CONFIG GET shows. */
    void (*format)(const struct setting *setting, const void *value, struct buf *out);
    bool (*equal)(const void *a, const void *b);
    void (*destroy)(void *value); /* NULL: owns nothing */
    /* Writes the setting's lines with config_rewriter_*; NULL: one line from `format`. */
    void (*rewrite)(const struct setting *setting, const void *value, const void *fallback,
                    struct config_rewriter *rewriter);
};

/* Kinds of one plain value (config_kind.c) and those with a shape of their own (config_shape.c). */
extern const struct config_kind config_kind_bool;
extern const struct config_kind config_kind_int;    /* int */
extern const struct config_kind config_kind_uint;   /* unsigned */
extern const struct config_kind config_kind_i64;    /* int64_t */
extern const struct config_kind config_kind_u64;    /* uint64_t */
extern const struct config_kind config_kind_choice; /* int, one of the setting's choices */
extern const struct config_kind config_kind_flags;  /* int, several of the setting's choices */
extern const struct config_kind config_kind_text;   /* char * */
extern const struct config_kind config_kind_secret; /* struct bytes, may hold zero bytes */
extern const struct config_kind config_kind_dir;
extern const struct config_kind config_kind_bind;
extern const struct config_kind config_kind_save;
extern const struct config_kind config_kind_buffer_limits;
extern const struct config_kind config_kind_oom_values;
extern const struct config_kind config_kind_events;
extern const struct config_kind config_kind_replicaof;
extern const struct config_kind config_kind_percentiles;

enum setting_flags {
    SETTING_IMMUTABLE = 1 << 0,    /* only from the file and the command line */
    SETTING_HIDDEN = 1 << 1,       /* shown by CONFIG GET only when asked for by its full name */
    SETTING_SENSITIVE = 1 << 2,    /* the value is a secret */
    SETTING_PROTECTED = 1 << 3,    /* CONFIG SET needs enable-protected-configs */
    SETTING_DEBUG = 1 << 4,        /* CONFIG SET needs enable-debug-command */
    SETTING_DENY_LOADING = 1 << 5, /* no CONFIG SET while the data set loads */
    SETTING_VOLATILE = 1 << 6,     /* hooks run also when the value stays (it names a file) */
    SETTING_EMPTY_UNSET = 1 << 7,  /* an empty text means "not set": no line in the file */
    SETTING_MEMORY = 1 << 8,       /* a number with an optional unit, 1kb = 1024 */
    SETTING_PERCENT = 1 << 9,      /* or a percentage, stored as a negative number */
    SETTING_OCTAL = 1 << 10,
    SETTING_CLAMPED = 1 << 11, /* out of clamp_min..clamp_max is accepted and moved there */
    SETTING_FIXED = 1 << 12,   /* only from the file and the command line, but CONFIG SET of the
                                  value that it has is no error: of our own settings, so that what
                                  sets all that CONFIG GET tells goes through as with Redis */
};

struct setting_choice {
    const char *name; /* NULL ends the list */
    int value;
};

/* `offset` of a setting without a field: its value is in config_state.inert. */
#define SETTING_INERT UINT32_MAX

struct setting {
    const char *name;
    const char *alias; /* NULL: none */
    const struct config_kind *kind;
    const char *fallback; /* the default, as it would be written in a file */
    const struct setting_choice *choices;
    /* Refuses a parsed value with the reason; NULL: none. */
    enum status (*check)(const void *value, struct err *err);
    uint32_t flags;
    uint32_t offset; /* of the field in struct config, or SETTING_INERT */
    int64_t min;     /* numbers */
    uint64_t max;    /* numbers; at most INT64_MAX for signed ones */
    int clamp_min;
    int clamp_max;
};

/* The table (config_table.c). */
extern const struct setting config_settings[];
extern const size_t config_setting_count;

/* One way to call a setting. */
struct setting_name {
    const char *name;
    const struct setting *setting;
};

struct config_hook {
    const struct setting *setting;
    config_apply_fn *apply;
    void *arg;
};

struct config_rewrite_hook {
    const char *directive;
    config_rewrite_fn *rewrite;
    void *arg;
};

union inert_value {
    bool flag;
    int choice;
    int64_t number;
    char *text;
};

struct config_state {
    union inert_value *inert;   /* by index in the table */
    struct setting_name *names; /* sorted, without regard to case */
    size_t name_count;
    struct config_hook *hooks;
    size_t hook_count;
    struct config_rewrite_hook *rewrite_hooks;
    size_t rewrite_hook_count;
    bool reading_file; /* `save` lines add up */
    bool save_seen;    /* the first of them replaced the default */
};

/* NULL when there is none; ignores case. */
const struct setting_name *config_find(const struct config *config, struct bytes name);
/* Where the setting's value is. */
void *config_slot(struct config *config, const struct setting *setting);
const void *config_slot_const(const struct config *config, const struct setting *setting);
/* Parses the arguments and, when they are valid, replaces the value. err->message is the reason
 * alone. */
enum status config_assign(struct config *config, const struct setting *setting,
                          const struct bytes *args, size_t arg_count, struct err *err);
/* Parses the default into *value, which the caller destroys. */
void config_parse_fallback(const struct config *config, const struct setting *setting, void *value);
/* Appends a size as CONFIG REWRITE writes it, "64mb". */
void config_append_memory(struct buf *out, uint64_t bytes);
/* Makes the process work in config->dir. */
enum status config_enter_dir(const struct config *config, struct err *err);

/* For `rewrite` of a kind: a line that appears only where there was one, unless `force`; and the
 * statement that the directive needs no more lines, so that those left over are blanked. */
void config_rewriter_line(struct config_rewriter *rewriter, const char *directive,
                          struct bytes line, bool force);
void config_rewriter_done(struct config_rewriter *rewriter, const char *directive);

/* config_memory_available with the files under `root` and so much memory in the machine. */
uint64_t config_memory_limit_under(const char *root, uint64_t machine_bytes);

#endif
