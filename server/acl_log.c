#include "server/acl_log.h"

#include "codec/mem.h"

#define ALIKE_WITHIN_MS    60000
#define COMPARED_COUNT_MAX 10   /* older entries are not looked at */
#define NAME_BYTES_MAX     1024 /* of a key, channel or user; clients choose them */

struct acl_log {
    struct acl_log_entry *newest, *oldest;
    size_t count;
    uint64_t next_id;
};

struct acl_log *acl_log_create(void)
{
    return mem_calloc(1, sizeof(struct acl_log));
}

void acl_log_destroy(struct acl_log *log)
{
    if (log == NULL)
        return;
    acl_log_clear(log);
    mem_free(log);
}

static struct bytes keep(struct bytes text)
{
    return text.len == 0 ? bytes_make(NULL, 0) : bytes_make(mem_dup(text.data, text.len), text.len);
}

static void drop(struct bytes text)
{
    mem_free((void *)(uintptr_t)text.data);
}

static void link_newest(struct acl_log *log, struct acl_log_entry *entry)
{
    entry->newer = NULL;
    entry->older = log->newest;
    if (log->newest != NULL)
        log->newest->newer = entry;
    else
        log->oldest = entry;
    log->newest = entry;
    log->count++;
}

static void unlink_entry(struct acl_log *log, struct acl_log_entry *entry)
{
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        log->newest = entry->older;
    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        log->oldest = entry->newer;
    log->count--;
}

static void drop_oldest(struct acl_log *log)
{
    struct acl_log_entry *entry = log->oldest;
    unlink_entry(log, entry);
    drop(entry->object);
    drop(entry->user);
    drop(entry->client_info);
    mem_free(entry);
}

static struct acl_log_entry *find_alike(const struct acl_log *log, const struct acl_denial *denial)
{
    struct acl_log_entry *entry = log->newest;
    for (int i = 0; i < COMPARED_COUNT_MAX && entry != NULL; i++, entry = entry->older) {
        int64_t apart_ms = denial->now_ms - entry->updated_at_ms;
        if (entry->reason == denial->reason && entry->context == denial->context &&
            apart_ms <= ALIKE_WITHIN_MS && apart_ms >= -ALIKE_WITHIN_MS &&
            bytes_equal(entry->object, denial->object) && bytes_equal(entry->user, denial->user))
            return entry;
    }
    return NULL;
}

void acl_log_add(struct acl_log *log, const struct acl_denial *whole, uint64_t count_max)
{
    struct acl_denial cut = *whole;
    const struct acl_denial *denial = &cut;
    if (cut.object.len > NAME_BYTES_MAX)
        cut.object.len = NAME_BYTES_MAX;
    if (cut.user.len > NAME_BYTES_MAX)
        cut.user.len = NAME_BYTES_MAX;
    struct acl_log_entry *entry = find_alike(log, denial);
    if (entry != NULL) {
        unlink_entry(log, entry);
        drop(entry->client_info);
    } else {
        entry = mem_calloc(1, sizeof(*entry));
        entry->id = log->next_id++;
        entry->reason = denial->reason;
        entry->context = denial->context;
        entry->object = keep(denial->object);
        entry->user = keep(denial->user);
        entry->created_at_ms = denial->now_ms;
    }
    entry->count++;
    entry->client_info = keep(denial->client_info);
    entry->updated_at_ms = denial->now_ms;
    link_newest(log, entry);
    while (log->count > count_max)
        drop_oldest(log);
}

void acl_log_clear(struct acl_log *log)
{
    while (log->count != 0)
        drop_oldest(log);
}

size_t acl_log_count(const struct acl_log *log)
{
    return log->count;
}

const struct acl_log_entry *acl_log_first(const struct acl_log *log)
{
    return log->newest;
}
