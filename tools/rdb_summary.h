/* What `basalt rdb inspect` says of a file: sums over its keys, within bounded memory. */
#ifndef BASALT_TOOLS_RDB_SUMMARY_H
#define BASALT_TOOLS_RDB_SUMMARY_H

#include "codec/buf.h"
#include "codec/rdb_read.h"
#include "tools/rdb_prefixes.h"

#define RDB_SUMMARY_DBS_MAX    1024 /* databases told apart; further ones count in none */
#define RDB_SUMMARY_NOTES_MAX  64
#define RDB_SUMMARY_TEXT_BYTES 512 /* of a name that is kept; the rest is cut off */
#define RDB_SUMMARY_TOP_MAX    1000
#define RDB_SUMMARY_DEPTH_MAX  16 /* levels of prefixes */

struct rdb_tally {
    uint64_t keys;
    uint64_t bytes;    /* in the file: name, attributes and value */
    uint64_t elements; /* of a string 1; of modules' values none */
};

struct rdb_summary_db {
    uint32_t db;
    uint64_t expires;
    struct rdb_tally tally;
};

struct rdb_summary_note {
    struct buf name, value; /* owned */
};

/* One of the largest keys. */
struct rdb_summary_key {
    struct buf name; /* owned */
    bool cut_off;    /* the name goes on */
    uint32_t db;
    uint8_t type;
    uint64_t bytes;
    uint64_t elements;
};

/* The largest keys of one kind, largest first. */
struct rdb_summary_top {
    struct rdb_summary_key *keys; /* owned */
    size_t count, capacity;
};

/* When keys expire, seen from when the file was written. */
#define RDB_SUMMARY_TERMS 8
extern const struct rdb_summary_term {
    const char *name; /* for people */
    const char *json;
    int64_t ms; /* up to */
} rdb_summary_terms[RDB_SUMMARY_TERMS];

struct rdb_summary {
    struct rdb_summary_note notes[RDB_SUMMARY_NOTES_MAX];
    size_t note_count;
    uint64_t functions, function_bytes;
    uint64_t module_data;
    struct rdb_tally total;
    struct rdb_tally types[RDB_TYPE_COUNT];
    struct rdb_summary_db dbs[RDB_SUMMARY_DBS_MAX]; /* in the file's order */
    size_t db_count;
    int64_t now_ms;     /* of the machine */
    int64_t written_ms; /* the note "ctime"; now_ms without one */
    uint64_t expires, expired_now;
    uint64_t terms[RDB_SUMMARY_TERMS];
    struct rdb_summary_top by_bytes, by_elements;
    struct rdb_prefixes *prefixes; /* owned */
};

struct rdb_summary_options {
    char separator;
    uint32_t prefix_depth;
    size_t top; /* how many of the largest keys; up to RDB_SUMMARY_TOP_MAX */
    int64_t now_ms;
};

struct rdb_summary *rdb_summary_create(const struct rdb_summary_options *options);
void rdb_summary_destroy(struct rdb_summary *summary);
/* Takes any item but a key. */
void rdb_summary_add_item(struct rdb_summary *summary, const struct rdb_item *item);
void rdb_summary_add_key(struct rdb_summary *summary, const struct rdb_key *key, uint64_t bytes,
                         uint64_t elements);
/* The encoding of a value as its type tells it, such as "listpack"; static. */
const char *rdb_summary_encoding(uint8_t type);

/* How a summary is told (rdb_summary_print.c). */
struct rdb_summary_print {
    const struct rdb_summary *summary;
    int version;
    uint64_t bytes;      /* of the unpacked file that were read */
    bool has_checksum;   /* and it is right */
    const char *failure; /* the damage at which reading ended; NULL: the file is whole */
    size_t top;          /* prefixes of each level */
};
void rdb_summary_to_text(const struct rdb_summary_print *print, struct buf *out);
void rdb_summary_to_json(const struct rdb_summary_print *print, struct buf *out);

#endif
