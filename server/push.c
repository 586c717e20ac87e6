#include "server/push.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "codec/number.h"
#include "server/conn.h"
#include "server/output.h"
#include "server/session.h"

/* Longer messages are shared: below, copying is cheaper than a block of one's own. */
#define SHARE_BYTES_MIN 4096
/* Buffers that grew beyond this are not kept for the next message. */
#define KEPT_BYTES_MAX ((size_t)64 * 1024)
/* Who got a message since pushes_begin. */
struct told {
    struct session *session; /* borrowed; nobody is freed while active */
    uint64_t offset_before;
};
/* told_offset of such a session. */
#define TOLD_NOW UINT64_MAX

struct pushes {
    bool active;
    struct session *running;                 /* borrowed while active */
    struct output postponed, postponed_last; /* for `running` */
    struct told *told;                       /* owned array */
    size_t told_count;
    size_t told_capacity;
};

struct pushes *pushes_create(void)
{
    struct pushes *pushes = mem_calloc(1, sizeof(*pushes));
    output_init(&pushes->postponed, NULL);
    output_init(&pushes->postponed_last, NULL);
    return pushes;
}

void pushes_destroy(struct pushes *pushes)
{
    if (pushes == NULL)
        return;
    output_deinit(&pushes->postponed);
    output_deinit(&pushes->postponed_last);
    mem_free(pushes->told);
    mem_free(pushes);
}

void pushes_begin(struct pushes *pushes, struct session *running)
{
    CHECK(!pushes->active);
    pushes->active = true;
    pushes->running = running;
}

void pushes_end(struct pushes *pushes, uint64_t offset)
{
    CHECK(pushes->active);
    for (size_t i = 0; i < pushes->told_count; i++) {
        const struct told *told = &pushes->told[i];
        told->session->told_offset = offset > told->offset_before ? offset : told->offset_before;
    }
    pushes->told_count = 0;
    if (output_bytes(&pushes->postponed) != 0)
        output_splice(pushes->running->reply.out, &pushes->postponed);
    if (output_bytes(&pushes->postponed_last) != 0)
        output_splice(pushes->running->reply.out, &pushes->postponed_last);
    pushes->active = false;
    pushes->running = NULL;
}

bool pushes_active(const struct pushes *pushes)
{
    return pushes->active;
}

struct session *pushes_running(const struct pushes *pushes)
{
    return pushes->running;
}

struct buf *push_begin_line(struct push *push)
{
    output_shared_unref(push->shared);
    push->shared = NULL;
    if (push->bytes.capacity > KEPT_BYTES_MAX)
        buf_deinit(&push->bytes);
    buf_clear(&push->bytes);
    return &push->bytes;
}

void push_begin(struct push *push, uint64_t count)
{
    (void)push_begin_line(push);
    char digits[NUMBER_U64_CHARS_MAX];
    buf_append(&push->bytes, digits, number_format_u64(count, digits));
    buf_append(&push->bytes, "\r\n", 2);
}

static void add_header(struct push *push, char type, int64_t number)
{
    char digits[NUMBER_I64_CHARS_MAX];
    buf_append_byte(&push->bytes, (uint8_t)type);
    buf_append(&push->bytes, digits, number_format_i64(number, digits));
    buf_append(&push->bytes, "\r\n", 2);
}

void push_add(struct push *push, struct bytes element)
{
    add_header(push, '$', (int64_t)element.len);
    buf_append_bytes(&push->bytes, element);
    buf_append(&push->bytes, "\r\n", 2);
}

void push_add_resp(struct push *push, struct bytes resp)
{
    buf_append_bytes(&push->bytes, resp);
}

void push_add_null(struct push *push, uint8_t protocol)
{
    buf_append_text(&push->bytes, protocol == 2 ? "$-1\r\n" : "_\r\n");
}

void push_add_integer(struct push *push, int64_t value)
{
    add_header(push, ':', value);
}

static void note_told(struct pushes *pushes, struct session *to)
{
    if (to->told_offset == TOLD_NOW)
        return;
    if (pushes->told_count == pushes->told_capacity) {
        pushes->told_capacity = pushes->told_capacity == 0 ? 16 : 2 * pushes->told_capacity;
        pushes->told = mem_realloc(pushes->told, pushes->told_capacity * sizeof(struct told));
    }
    pushes->told[pushes->told_count++] =
        (struct told){.session = to, .offset_before = to->told_offset};
    to->told_offset = TOLD_NOW;
}

/* `first` goes before the bytes; 0: nothing. */
static bool send_to(struct pushes *pushes, struct push *push, struct session *to,
                    struct output *postponed, char first)
{
    CHECK(pushes->active);
    if (to->conn == NULL || (to->flags & (SESSION_CLOSE_ASAP | SESSION_CLOSE_AFTER_REPLY)) != 0)
        return false;
    note_told(pushes, to);
    struct output *out = to == pushes->running ? postponed : to->reply.out;
    if (first != 0)
        output_append(out, &first, 1);
    if (push->shared == NULL && push->bytes.len >= SHARE_BYTES_MIN)
        push->shared = output_shared_create(&push->bytes);
    if (push->shared != NULL)
        output_append_shared(out, push->shared);
    else
        output_append(out, push->bytes.data, push->bytes.len);
    if (to != pushes->running)
        conn_output_added(to->conn);
    return true;
}

static char first_byte(const struct session *to)
{
    return to->reply.resp == 2 ? '*' : '>';
}

bool push_send_line(struct pushes *pushes, struct push *push, struct session *to)
{
    return send_to(pushes, push, to, &pushes->postponed, 0);
}

bool push_send(struct pushes *pushes, struct push *push, struct session *to)
{
    return send_to(pushes, push, to, &pushes->postponed, first_byte(to));
}

bool push_send_last(struct pushes *pushes, struct push *push, struct session *to)
{
    return send_to(pushes, push, to, &pushes->postponed_last, first_byte(to));
}

void push_deinit(struct push *push)
{
    output_shared_unref(push->shared);
    push->shared = NULL;
    buf_deinit(&push->bytes);
}
