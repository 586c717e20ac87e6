/* A logical client: what commands know of the one who sent them. A connection has one; journal
 * replay, scripts and replication links have one without a connection. Main thread. */
#ifndef BASALT_SERVER_SESSION_H
#define BASALT_SERVER_SESSION_H

#include "server/reply.h"

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct command;
struct pending;
struct transaction; /* MULTI state, multi.h */
struct acl_user;

enum {
    SESSION_MULTI = 1 << 0,      /* inside MULTI */
    SESSION_DIRTY_EXEC = 1 << 1, /* a queued command was refused: EXEC aborts */
    SESSION_DIRTY_CAS = 1 << 2,  /* a watched key changed: EXEC answers nil */
    SESSION_BLOCKED = 1 << 3,    /* waits in BLPOP, WAIT and the like */
    SESSION_REPLAY = 1 << 4,     /* the journal, at start-up */
    SESSION_MASTER = 1 << 5,     /* our master's stream */
    SESSION_REPLICA = 1 << 6,    /* a replica of ours */
    SESSION_SCRIPT = 1 << 7,     /* runs the commands of a script */
    SESSION_REPLY_OFF = 1 << 8,
    SESSION_REPLY_SKIP_NEXT = 1 << 9, /* CLIENT REPLY SKIP was this command's predecessor */
    SESSION_REPLY_SKIP = 1 << 10,     /* this command's reply is skipped */
    SESSION_NO_EVICT = 1 << 11,
    SESSION_NO_TOUCH = 1 << 12,
    SESSION_MONITOR = 1 << 13,
    SESSION_PUBSUB = 1 << 14,
    SESSION_CLOSE_AFTER_REPLY = 1 << 15,
    SESSION_CLOSE_ASAP = 1 << 16,
    SESSION_PROTECTED_PUSH = 1 << 17, /* replies inside a push: bulk-limits do not apply */
    SESSION_UNIX_SOCKET = 1 << 18,
    SESSION_READONLY_LINK = 1 << 19,
    SESSION_TRACKING = 1 << 20,
    SESSION_SUSPENDED = 1 << 21, /* waits for cold keys */
};

enum session_extension {
    SESSION_EXTENSION_PUBSUB,
    SESSION_EXTENSION_TRACKING,
    SESSION_EXTENSION_BLOCKING,
    SESSION_EXTENSION_REPLICATION,
    SESSION_EXTENSION_COUNT,
};

struct session {
    uint64_t id;
    uint32_t flags; /* SESSION_* */
    uint32_t db;    /* selected database number */
    bool authenticated;
    struct reply reply;
    struct pending *pending;         /* owned by exec.c: its request that waits; NULL */
    struct conn *conn;               /* borrowed; NULL without a connection */
    struct transaction *transaction; /* owned by multi.c; NULL outside */
    struct acl_user *user;           /* borrowed from acl.c; NULL: may do everything */
    char *name;                      /* owned; NULL = none */
    char *lib_name;
    char *lib_version;
    int64_t created_at_ms;      /* monotonic */
    int64_t last_command_at_ms; /* monotonic */
    const struct command *last_command;
    uint64_t command_count;
    uint64_t write_offset; /* journal offset behind its last write */
    uint64_t told_offset;  /* journal offset behind the last change that it was sent a message of */
    void *extension[SESSION_EXTENSION_COUNT]; /* each owned by the module of that name */
};

#endif
