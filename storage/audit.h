/* Checks a whole data directory that no server has open: the journal, RocksDB, and whether what
 * RocksDB holds is a dataset: each record can be read, each large object has the elements that its
 * header tells, no element is without an object, the expiry index and the counters are right.
 *
 * RocksDB equals the dataset at the cut, whatever the journal has behind it: so all of this is
 * checked as it is, without replaying anything.
 *
 * It reads everything once, in order. *Deep*, it also follows single references (an expiring key's
 * entry in the index, a list's node, a field's deadline): a random read for each. Memory does not
 * grow with the dataset.
 *
 * Repairs are those that lose nothing: what can be derived from the records is derived again, and
 * what nothing refers to goes. */
#ifndef BASALT_STORAGE_AUDIT_H
#define BASALT_STORAGE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/log_fn.h"
#include "codec/status.h"
#include "storage/object.h"

struct env;

enum audit_kind {
    AUDIT_JOURNAL,         /* damaged behind the cut, or not joined to it: the server refuses */
    AUDIT_JOURNAL_HISTORY, /* damaged before the cut: only replicas would have read that */
    AUDIT_JOURNAL_TAIL,    /* an unfinished write at the end: normal after a crash */
    AUDIT_JOURNAL_ARCHIVE, /* a file of the archive: no restoration gets past it */
    AUDIT_STORE,           /* RocksDB cannot read a file or block of its own */
    AUDIT_META,            /* a record of the meta family */
    AUDIT_RECORD_KEY,      /* no record key, or not where its key belongs */
    AUDIT_RECORD,          /* a record cannot be decoded */
    AUDIT_RECORD_TWICE,    /* a key has records of two types */
    AUDIT_DATABASE,        /* records of a database that there is not */
    AUDIT_OBJECT_ID,       /* two objects with one id, or an id that is yet to be given out */
    AUDIT_ELEMENT,         /* an element cannot be decoded, or is missing or one too many */
    AUDIT_COUNT,           /* the header of a large object counts other elements than there are */
    AUDIT_ORPHANS,         /* elements of no object */
    AUDIT_EXPIRES_MISSING, /* a key with an expiry has no entry in the index: never expires by
                              itself */
    AUDIT_EXPIRES_BAD,     /* an entry of the index that is none */
    AUDIT_FIELD_DEADLINE,  /* the same of a hash's field */
    AUDIT_COUNTERS,        /* DBSIZE or the number of keys with an expiry */
    AUDIT_KIND_COUNT,
};

/* "journal", "orphans" and so on, for machines. */
const char *audit_kind_name(enum audit_kind kind);
/* Whether audit_options.repair puts it right. */
bool audit_kind_is_repairable(enum audit_kind kind);
/* It is no damage, but what crashes leave. */
bool audit_kind_is_normal(enum audit_kind kind);

struct audit_options {
    struct env *env; /* borrowed, as all others are, for the call */
    const char *dir; /* the data directory */
    bool deep;
    bool repair;
    /* Called for each thing that is wrong; `repaired` only if it was put right (durable when
     * audit_run returns ST_OK). */
    void (*finding)(void *arg, enum audit_kind kind, bool repaired, const char *text);
    /* Called now and then: what is being read, and how far. `total` is an estimate, 0: none.
     * False: stop. */
    bool (*progress)(void *arg, const char *what, uint64_t done, uint64_t total);
    void *arg;
    log_fn *log; /* of the journal's repair; may be NULL */
    void *log_arg;
};

struct audit_report {
    uint64_t found[AUDIT_KIND_COUNT];
    uint64_t repaired[AUDIT_KIND_COUNT];
    /* What is there. */
    uint64_t keys[OBJECT_TYPE_COUNT];
    uint64_t large[OBJECT_TYPE_COUNT]; /* of them */
    uint64_t elements;                 /* of large objects */
    uint64_t expiring;                 /* keys */
    uint64_t expires_entries;
    uint64_t expires_stale; /* of them, hints that are out of date (counted if deep) */
    uint64_t reaper_notes;  /* what is yet to be dropped in the background */
    uint64_t cut_offset;    /* RocksDB is the dataset at this offset */
    uint64_t journal_first, journal_end;
    uint64_t journal_segments, journal_blocks, journal_bytes;
    uint64_t archived_segments, archived_bytes;
    uint64_t replay_blocks;   /* behind the cut, to be replayed by the next start */
    uint64_t replay_commands; /* counted if deep */
    bool clean;               /* the journal was closed */
    bool incomplete;          /* something could not be read, so not all was compared */
};

/* ST_OK: it was looked at, and `out` says what was found. ST_EXISTS: a server uses it;
 * ST_NOT_FOUND: there is no dataset in it; ST_AGAIN: stopped; ST_UNSUPPORTED (a newer format),
 * ST_IO, ST_NO_SPACE, ST_LIMIT. Blocks. */
MUST_USE enum status audit_run(const struct audit_options *options, struct audit_report *out,
                               struct err *err);

#endif
