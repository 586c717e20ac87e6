/* Command descriptors. One row per command, in the file that holds its handler, is the single
 * source of truth: dispatch, arity, ACL, keys, cold loading, replication, COMMAND and COMMAND DOCS
 * read it. */
#ifndef BASALT_SERVER_COMMAND_H
#define BASALT_SERVER_COMMAND_H

#include "codec/bytes.h"
#include "codec/status.h"
#include "storage/ensure.h"

#include <stdbool.h>
#include <stdint.h>

struct call;
struct keyref;
struct object;

typedef void command_fn(struct call *call);

/* Flags; command_info.c names those that COMMAND INFO reports. */
enum {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_DENYOOM = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_PUBSUB = 1 << 4,
    CMD_NOSCRIPT = 1 << 5,
    CMD_BLOCKING = 1 << 6,
    CMD_LOADING = 1 << 7, /* allowed while the dataset is being loaded */
    CMD_STALE = 1 << 8,   /* allowed on a replica with a stale dataset */
    CMD_SKIP_MONITOR = 1 << 9,
    CMD_SKIP_SLOWLOG = 1 << 10,
    CMD_ASKING = 1 << 11,
    CMD_FAST = 1 << 12,
    CMD_NO_AUTH = 1 << 13,
    CMD_MAY_REPLICATE = 1 << 14,
    CMD_SENTINEL = 1 << 15,
    CMD_ONLY_SENTINEL = 1 << 16,
    CMD_NO_MANDATORY_KEYS = 1 << 17,
    CMD_PROTECTED = 1 << 18,
    CMD_NO_ASYNC_LOADING = 1 << 19,
    CMD_NO_MULTI = 1 << 20,
    CMD_ALLOW_BUSY = 1 << 21,
    CMD_MOVABLE_KEYS = 1 << 22,
    CMD_TOUCHES_ARBITRARY_KEYS = 1 << 23, /* a tip, not a COMMAND flag */
    CMD_SYSCMD = 1 << 24,                 /* COMMAND DOCS: for the server's own use */
    CMD_SUBSCRIBER = 1 << 25,             /* not told: a RESP2 subscriber may use it */
    CMD_AT_ONCE = 1 << 26,                /* runs inside MULTI instead of being queued */
    CMD_EXEC = 1 << 27,                   /* EXEC: does what is queued */
    CMD_RUNS_SCRIPT = 1 << 28,            /* EVAL and the like: see exec_command_flags */
};

/* ACL categories; the groups of read/write/admin/fast/slow and the like are derived from flags. */
enum {
    ACL_KEYSPACE = 1 << 0,
    ACL_READ = 1 << 1,
    ACL_WRITE = 1 << 2,
    ACL_SET = 1 << 3,
    ACL_SORTEDSET = 1 << 4,
    ACL_LIST = 1 << 5,
    ACL_HASH = 1 << 6,
    ACL_STRING = 1 << 7,
    ACL_BITMAP = 1 << 8,
    ACL_HYPERLOGLOG = 1 << 9,
    ACL_GEO = 1 << 10,
    ACL_STREAM = 1 << 11,
    ACL_PUBSUB = 1 << 12,
    ACL_ADMIN = 1 << 13,
    ACL_FAST = 1 << 14,
    ACL_SLOW = 1 << 15,
    ACL_BLOCKING = 1 << 16,
    ACL_DANGEROUS = 1 << 17,
    ACL_CONNECTION = 1 << 18,
    ACL_TRANSACTION = 1 << 19,
    ACL_SCRIPTING = 1 << 20,
};

/* Flags of a key specification: the first eleven are Redis's (COMMAND reports them), the rest are
 * for the executor. They say what must be in RAM before the handler runs: exactly one of KEY_LOAD,
 * KEY_LOAD_META and KEY_LOAD_NOTHING applies; KEY_LOAD (the whole value, or of a large one the
 * pieces that the row's pieces function names) is what no flag means. */
enum {
    KEY_RO = 1 << 0,
    KEY_RW = 1 << 1,
    KEY_OW = 1 << 2,
    KEY_RM = 1 << 3,
    KEY_ACCESS = 1 << 4,
    KEY_UPDATE = 1 << 5,
    KEY_INSERT = 1 << 6,
    KEY_DELETE = 1 << 7,
    KEY_NOT_KEY = 1 << 8,
    KEY_INCOMPLETE = 1 << 9,
    KEY_VARIABLE_FLAGS = 1 << 10,
    KEY_LOAD_META = 1 << 11,    /* existence, type, expiry, size are enough */
    KEY_LOAD_NOTHING = 1 << 12, /* blind overwrite: the reply does not depend on the old value */
    KEY_NO_TOUCH = 1 << 13,     /* looking at it is no use of it: eviction's clock stays */
    KEY_HIDDEN = 1 << 14,       /* for the executor: COMMAND GETKEYS does not tell it */
    KEY_NO_MISS = 1 << 15,      /* its absence is no keymiss event */
};

#define KEY_SPECS_MAX 4

/* Which of its arguments a row names as channels (ACL rules like "&news.*" are about them). */
enum command_channels {
    CHANNELS_NONE,
    CHANNELS_FIRST,    /* the first one: it publishes there */
    CHANNELS_ALL,      /* all of them: it subscribes there */
    CHANNELS_PATTERNS, /* all of them are patterns */
};

enum key_begin { KEY_BEGIN_NONE = 0, KEY_BEGIN_INDEX, KEY_BEGIN_KEYWORD, KEY_BEGIN_UNKNOWN };
enum key_find { KEY_FIND_RANGE = 0, KEY_FIND_KEYNUM, KEY_FIND_UNKNOWN };

/* Redis's key specification: where to begin, how to find the others. */
struct key_spec {
    uint32_t flags;
    uint8_t begin; /* enum key_begin; KEY_BEGIN_NONE ends the row's list */
    uint8_t find;  /* enum key_find */
    int16_t index; /* KEY_BEGIN_INDEX: argument index; KEY_BEGIN_KEYWORD: where the search starts */
    /* KEY_FIND_RANGE: last (relative to the first; negative: from the end), step, limit
     * KEY_FIND_KEYNUM: keynum index, first key, step (relative to the begin) */
    int16_t last_or_keynum;
    int16_t step_or_first;
    int16_t limit_or_step;
    const char *keyword;
    const char *notes;
};

/* One key at argument `i`. */
#define KEY_AT(i, f)                                                                               \
    {                                                                                              \
        .flags = (f), .begin = KEY_BEGIN_INDEX, .index = (i), .last_or_keynum = 0,                 \
        .step_or_first = 1                                                                         \
    }
/* Keys from argument `i` to `last` (negative: from the end) in steps of `step`. */
#define KEY_RANGE(i, l, s, f)                                                                      \
    {                                                                                              \
        .flags = (f), .begin = KEY_BEGIN_INDEX, .index = (i), .last_or_keynum = (l),               \
        .step_or_first = (s)                                                                       \
    }
/* A count at argument `i`, the keys behind it. */
#define KEY_NUMKEYS(i, f)                                                                          \
    {                                                                                              \
        .flags = (f), .begin = KEY_BEGIN_INDEX, .index = (i), .find = KEY_FIND_KEYNUM,             \
        .last_or_keynum = 0, .step_or_first = 1, .limit_or_step = 1                                \
    }

/* A key of a request. */
struct key_arg {
    int index;      /* of the argument */
    uint32_t flags; /* effective KEY_* */
    /* 0: the key is in the session's database; else the argument that holds the number of its
     * database (MOVE, COPY). A key for which that is no valid number is not to be looked up: the
     * handler will say so. */
    int db_arg;
};

/* Says which keys a request has where the specifications do not tell all: positions that they
 * cannot express, flags that depend on the arguments (SET with GET reads), keys in other databases.
 * A row that has one needs no specifications but for COMMAND. Pure. Writes at most `max` entries
 * and returns how many there are, or -1 if the arguments are not valid (the handler will say
 * how). */
typedef int command_keys_fn(const struct bytes *argv, int argc, struct key_arg *out, int max);

/* Says which bytes of a large string a request needs in RAM: from `*from_out` to `*to_out` - 1,
 * none if that is empty. The range may go beyond the string's end; what is to be appended begins
 * there. `key` counts the declared keys; `o` is an ENCODING_CHUNKED string whose header is in RAM.
 * False: all of it, as for rows without such a function. Pure; arguments that are not valid need
 * nothing (the handler will say what is wrong). */
typedef bool command_pieces_fn(const struct bytes *argv, int argc, int key, const struct object *o,
                               uint64_t *from_out, uint64_t *to_out);

/* Asks for the parts of a large collection that a request needs in RAM; see storage/ensure.h. `key`
 * counts the declared keys; e->o is a large collection of any type, whose header is in RAM: what is
 * not of the type that the request is about needs nothing, the handler will say so. Arguments that
 * are not valid need nothing either. Rows without such a function need all of it. */
typedef enum ensured command_ensure_fn(struct ensure *e, const struct bytes *argv, int argc,
                                       int key);

/* The same for requests in which what is needed of one collection depends on others. It is called
 * instead, once the records of all keys are in RAM; `keys` are all that are declared, with no
 * object where there is none, and those of KEY_LOAD_META and KEY_LOAD_NOTHING among them. Sets
 * e->db and e->o to the one that it asks for. */
typedef enum ensured command_ensure_keys_fn(struct ensure *e, const struct keyref *keys, int count);

/* Arguments as COMMAND DOCS tells them. A list ends with a row without a name. */
enum command_arg_type {
    ARG_STRING,
    ARG_INTEGER,
    ARG_DOUBLE,
    ARG_KEY,
    ARG_PATTERN,
    ARG_UNIX_TIME,
    ARG_PURE_TOKEN,
    ARG_ONEOF,
    ARG_BLOCK,
};
enum { ARG_OPTIONAL = 1, ARG_MULTIPLE = 2, ARG_MULTIPLE_TOKEN = 4 };

struct command_arg {
    const char *name;
    uint8_t type;
    uint8_t flags;
    int8_t key_spec_index; /* ARG_KEY: index of its key spec */
    const char *token;
    const char *display;
    const char *since;
    const char *deprecated_since;
    const struct command_arg *children;
};

struct command {
    /* What dispatch reads comes first: one cache line. */
    _Alignas(64) const char *name; /* lower case; subcommands "config|get" */
    command_fn *handler;           /* NULL for a container that only has subcommands */
    int16_t arity;                 /* counts the name; negative: at least */

    /* Filled in by the table; zero in a row's source. */
    uint16_t id;              /* dense, in the order of names */
    uint8_t single_key;       /* != 0: exactly one key, at this argument, with keys[0].flags */
    uint8_t key_spec_count;   /* entries used of `keys` */
    uint8_t subcommand_count; /* rows "name|...", which have the ids behind this one's */
    uint8_t is_subcommand : 1;

    uint32_t flags; /* CMD_* */
    uint32_t acl;   /* ACL_* beyond what the flags imply */
    command_keys_fn *keys_fn;
    command_pieces_fn *pieces;
    struct key_spec keys[KEY_SPECS_MAX];
    command_ensure_fn *ensure;
    command_ensure_keys_fn *ensure_keys;
    uint8_t channels;  /* enum command_channels */
    const char *group; /* "string", "generic", … */
    const char *since;
    const char *complexity;
    const char *summary;
    const char *const *tips;    /* NULL-terminated, or NULL */
    const char *const *history; /* pairs version, text; NULL-terminated, or NULL */
    const struct command_arg *args;
    const char *deprecated_since;
    const char *replaced_by;
};

/* The index over all rows. Immutable after creation but for renames. Main thread. */
struct command_table;

/* Indexes all rows of all cmd_*.c tables (command_tables.c). */
struct command_table *command_table_create(void);
/* Indexes copies of the rows of `tables`, each of which ends with a row without a name. Computes
 * derived fields and flags (movable keys). A name that occurs twice, or a subcommand without its
 * container, is a failed CHECK. */
struct command_table *command_table_create_from(const struct command *const *tables,
                                                size_t table_count);
void command_table_destroy(struct command_table *table);

/* Finds the row of a request, subcommands included; NULL when unknown. `*container_out` (may be
 * NULL) is then the container's row if argv[0] is one, else NULL. A container alone is found as
 * itself: its arity, or its handler, is the answer. Fast: no allocation, one hash probe, two for a
 * subcommand. Rows that it returns are those of command_at: compare pointers at will. */
const struct command *command_find(const struct command_table *table, const struct bytes *argv,
                                   int argc, const struct command **container_out);
/* By full name such as "config|get" (any case), or NULL. */
const struct command *command_find_name(const struct command_table *table, struct bytes name);

/* The row with this name of its own, such as "config|get" (any case), whatever rename-command made
 * of it; or NULL. */
const struct command *command_find_row(const struct command_table *table, struct bytes name);

/* Rows by dense id, 0..command_count()-1, in the order of their names. */
int command_count(const struct command_table *table);
const struct command *command_at(const struct command_table *table, int id);
static inline int command_id(const struct command_table *table, const struct command *command)
{
    (void)table;
    return command->id;
}
/* The rows that a client may name as its first word, in the order of their names: all but
 * subcommands and what command_rename took away. */
int command_top_count(const struct command_table *table);
const struct command *command_top_at(const struct command_table *table, int index);

/* Whether a request of this row may have so many arguments, the name among them. A container that
 * is no command itself takes none. */
static inline bool command_takes(const struct command *command, int argc)
{
    return command->handler != NULL &&
           (command->arity >= 0 ? argc == command->arity : argc >= -command->arity);
}

/* All ACL categories of a row, those implied by its flags included. */
uint32_t command_acl_categories(const struct command *command);
/* rename-command: an empty new name removes it. ST_NOT_FOUND, ST_EXISTS. The row keeps its own
 * name. */
MUST_USE enum status command_rename(struct command_table *table, struct bytes name,
                                    struct bytes new_name);

/* ---- Keys of a request (command_keys.c). */

/* The keys of a request: by keys_fn, else by the specifications. Returns their number (written to
 * `out` up to `max`), or -1 when the arguments do not allow to tell. */
int command_keys(const struct command *command, const struct bytes *argv, int argc,
                 struct key_arg *out, int max);
/* False if no request of this command has keys that clients are told. */
bool command_has_keys(const struct command *command);

/* First key, last key and step as COMMAND told them before there were specifications; zeros
 * without keys. */
struct key_range {
    int first;
    int last; /* negative: from the end */
    int step;
    bool movable; /* it does not cover all keys of all requests */
};
struct key_range command_key_range(const struct command *command);

#endif
