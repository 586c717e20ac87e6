/* What was denied lately: the entries of ACL LOG, newest first. Denials that are alike within a
 * minute are one entry with a count. Main thread. Source: acl.c of Redis 7.2. */
#ifndef BASALT_SERVER_ACL_LOG_H
#define BASALT_SERVER_ACL_LOG_H

#include "server/acl_user.h"

enum acl_log_context { ACL_LOG_TOPLEVEL, ACL_LOG_MULTI, ACL_LOG_LUA };

struct acl_log_entry {
    struct acl_log_entry *newer, *older;
    uint64_t id;
    uint64_t count;
    enum acl_result reason;
    enum acl_log_context context;
    struct bytes object;      /* owned: command, key or channel */
    struct bytes user;        /* owned */
    struct bytes client_info; /* owned: of the last one */
    int64_t created_at_ms;    /* wall clock */
    int64_t updated_at_ms;    /* wall clock */
};

/* All borrowed. */
struct acl_denial {
    enum acl_result reason;
    enum acl_log_context context;
    struct bytes object;
    struct bytes user;
    struct bytes client_info;
    int64_t now_ms; /* wall clock */
};

struct acl_log;

struct acl_log *acl_log_create(void);
/* Accepts NULL. */
void acl_log_destroy(struct acl_log *log);
/* Keeps at most `count_max` entries, and of long names the beginning. */
void acl_log_add(struct acl_log *log, const struct acl_denial *whole, uint64_t count_max);
void acl_log_clear(struct acl_log *log);
size_t acl_log_count(const struct acl_log *log);
/* The newest; go on with `older`. NULL when there is none. */
const struct acl_log_entry *acl_log_first(const struct acl_log *log);

#endif
