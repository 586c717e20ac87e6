#include "server/monitor.h"

#include "codec/buf.h"
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/split_args.h"
#include "server/push.h"
#include "server/redact.h"
#include "server/session.h"

struct monitors {
    struct pushes *pushes;     /* borrowed */
    struct session **sessions; /* owned array, in the order in which they came */
    size_t count, capacity;
    struct push line; /* scratch */
};

struct monitors *monitors_create(struct pushes *pushes)
{
    struct monitors *monitors = mem_calloc(1, sizeof(*monitors));
    monitors->pushes = pushes;
    return monitors;
}

void monitors_destroy(struct monitors *monitors)
{
    if (monitors == NULL)
        return;
    CHECK(monitors->count == 0);
    push_deinit(&monitors->line);
    mem_free(monitors->sessions);
    mem_free(monitors);
}

void monitors_add(struct monitors *monitors, struct session *session)
{
    CHECK((session->flags & SESSION_MONITOR) == 0);
    if (monitors->count == monitors->capacity) {
        monitors->capacity = monitors->capacity == 0 ? 4 : 2 * monitors->capacity;
        monitors->sessions =
            mem_realloc(monitors->sessions, monitors->capacity * sizeof(*monitors->sessions));
    }
    monitors->sessions[monitors->count++] = session;
    session->flags |= SESSION_MONITOR;
}

void monitors_remove(struct monitors *monitors, struct session *session)
{
    if ((session->flags & SESSION_MONITOR) == 0)
        return;
    size_t i = 0;
    while (monitors->sessions[i] != session)
        i++;
    monitors->count--;
    memmove(monitors->sessions + i, monitors->sessions + i + 1,
            (monitors->count - i) * sizeof(*monitors->sessions));
    session->flags &= ~(uint32_t)SESSION_MONITOR;
}

bool monitors_is_idle(const struct monitors *monitors)
{
    return monitors->count == 0;
}

static void write_line(struct buf *out, const struct monitor_request *request)
{
    buf_append_format(out, "+%lld.%06lld [%u %s]", (long long)(request->at_us / 1000000),
                      (long long)(request->at_us % 1000000), request->db, request->origin);
    struct bytes previous = {0};
    for (int i = 0; i < request->argc; i++) {
        buf_append_byte(out, ' ');
        split_args_quote(out, redact_next(request->redact, previous, request->argv[i], i));
        previous = request->argv[i];
    }
    buf_append_text(out, "\r\n");
}

void monitors_show(struct monitors *monitors, const struct monitor_request *request)
{
    write_line(push_begin_line(&monitors->line), request);
    for (size_t i = 0; i < monitors->count; i++)
        (void)push_send_line(monitors->pushes, &monitors->line, monitors->sessions[i]);
}
