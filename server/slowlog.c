/* A list from the newest entry to the oldest; an entry and all that it refers to are one
 * allocation. */
#include "server/slowlog.h"

#include "codec/mem.h"
#include "server/redact.h"

#include <stdio.h>
#include <string.h>

/* "... (18446744073709551615 more arguments)" */
#define MORE_TEXT_BYTES_MAX 48

struct slowlog {
    struct slowlog_entry *newest, *oldest;
    size_t len;
    uint64_t next_id;
};

struct slowlog *slowlog_create(void)
{
    return mem_calloc(1, sizeof(struct slowlog));
}

void slowlog_destroy(struct slowlog *slowlog)
{
    if (slowlog == NULL)
        return;
    slowlog_reset(slowlog);
    mem_free(slowlog);
}

static size_t kept_len(size_t len)
{
    return len < SLOWLOG_ARG_BYTES_MAX ? len : SLOWLOG_ARG_BYTES_MAX;
}

/* How many of the arguments are shown; if that is not all, the last place tells the rest's number.
 */
static int shown_count(int argc)
{
    return argc <= SLOWLOG_ARGS_MAX ? argc : SLOWLOG_ARGS_MAX - 1;
}

static size_t bytes_max(const struct slowlog_request *request)
{
    size_t bytes = request->address.len + request->name.len + MORE_TEXT_BYTES_MAX;
    for (int i = 0; i < shown_count(request->argc); i++) {
        size_t len = kept_len(request->argv[i].len);
        if (len < sizeof(REDACTED_TEXT))
            len = sizeof(REDACTED_TEXT);
        bytes += len + MORE_TEXT_BYTES_MAX;
    }
    return bytes;
}

static struct bytes put(uint8_t **place, struct bytes bytes)
{
    if (bytes.len != 0)
        memcpy(*place, bytes.data, bytes.len);
    struct bytes copy = bytes_make(*place, bytes.len);
    *place += bytes.len;
    return copy;
}

static struct bytes put_arg(uint8_t **place, struct bytes arg)
{
    struct bytes copy = put(place, bytes_make(arg.data, kept_len(arg.len)));
    if (arg.len > copy.len) {
        char more[MORE_TEXT_BYTES_MAX];
        (void)snprintf(more, sizeof more, "... (%zu more bytes)", arg.len - copy.len);
        copy.len += put(place, bytes_text(more)).len;
    }
    return copy;
}

static void put_args(struct slowlog_entry *entry, uint8_t **place,
                     const struct slowlog_request *request)
{
    struct bytes previous = {0};
    for (int i = 0; i < shown_count(request->argc); i++) {
        struct bytes arg = redact_next(request->redact, previous, request->argv[i], i);
        entry->argv[entry->argc++] = put_arg(place, arg);
        previous = request->argv[i];
    }
    if (entry->argc == request->argc)
        return;
    char more[MORE_TEXT_BYTES_MAX];
    (void)snprintf(more, sizeof more, "... (%d more arguments)", request->argc - entry->argc);
    entry->argv[entry->argc++] = put(place, bytes_text(more));
}

void slowlog_add(struct slowlog *slowlog, const struct slowlog_request *request)
{
    struct slowlog_entry *entry = mem_alloc(sizeof(*entry) + bytes_max(request));
    uint8_t *place = (uint8_t *)(entry + 1);
    *entry = (struct slowlog_entry){.older = slowlog->newest,
                                    .id = slowlog->next_id++,
                                    .at_s = request->at_s,
                                    .times = request->times};
    entry->address = put(&place, request->address);
    entry->name = put(&place, request->name);
    put_args(entry, &place, request);
    if (slowlog->newest != NULL)
        slowlog->newest->newer = entry;
    else
        slowlog->oldest = entry;
    slowlog->newest = entry;
    slowlog->len++;
}

void slowlog_trim(struct slowlog *slowlog, uint64_t len_max)
{
    while (slowlog->len > len_max) {
        struct slowlog_entry *entry = slowlog->oldest;
        slowlog->oldest = entry->newer;
        if (slowlog->oldest != NULL)
            slowlog->oldest->older = NULL;
        else
            slowlog->newest = NULL;
        slowlog->len--;
        mem_free(entry);
    }
}

size_t slowlog_len(const struct slowlog *slowlog)
{
    return slowlog->len;
}

const struct slowlog_entry *slowlog_newest(const struct slowlog *slowlog)
{
    return slowlog->newest;
}

void slowlog_reset(struct slowlog *slowlog)
{
    slowlog_trim(slowlog, 0);
}
