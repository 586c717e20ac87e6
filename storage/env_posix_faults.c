/* Faults chosen by a text, for integration tests that start a whole server. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/mem.h"
#include "storage/env_hook.h"

#define FAULTS_MAX      8
#define PART_BYTES_MAX  128
#define ACTION_KILL     (-2)
#define ACTION_KILL_END (-3)

struct fault {
    enum env_op op;
    char path_part[PART_BYTES_MAX];
    uint64_t first; /* 1 is the first matching call */
    uint64_t count; /* 0: all from the first on */
    int action;     /* an errno value or ACTION_* */
    uint64_t calls; /* matching calls so far; guarded by faults.lock */
};

struct faults {
    struct env_hook hook;
    pthread_mutex_t lock;
    struct fault items[FAULTS_MAX];
    size_t count;
};

static const struct {
    const char *name;
    int action;
} actions[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EDQUOT", EDQUOT},    {"EACCES", EACCES},
    {"EMFILE", EMFILE}, {"EROFS", EROFS},   {"KILL", ACTION_KILL}, {"KILL_AFTER", ACTION_KILL_END},
};

static bool matches(const struct fault *fault, const struct env_call *call)
{
    return fault->op == call->op && strstr(call->path, fault->path_part) != NULL;
}

static bool is_due(const struct fault *fault)
{
    return fault->calls >= fault->first &&
           (fault->count == 0 || fault->calls - fault->first < fault->count);
}

static _Noreturn void kill_self(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static int before_call(void *arg, struct env_call *call)
{
    struct faults *faults = arg;
    int error = 0;
    (void)pthread_mutex_lock(&faults->lock);
    for (size_t i = 0; i < faults->count; i++) {
        struct fault *fault = &faults->items[i];
        if (!matches(fault, call))
            continue;
        fault->calls++;
        if (!is_due(fault))
            continue;
        if (fault->action == ACTION_KILL)
            kill_self();
        if (fault->action > 0)
            error = fault->action;
    }
    (void)pthread_mutex_unlock(&faults->lock);
    return error;
}

static void after_call(void *arg, const struct env_call *call, int error, size_t done)
{
    struct faults *faults = arg;
    (void)error;
    (void)done;
    (void)pthread_mutex_lock(&faults->lock);
    for (size_t i = 0; i < faults->count; i++) {
        const struct fault *fault = &faults->items[i];
        if (fault->action == ACTION_KILL_END && matches(fault, call) && is_due(fault))
            kill_self();
    }
    (void)pthread_mutex_unlock(&faults->lock);
}

/* Cuts the next field off `*rest`, up to `separator` or the end. */
static struct bytes next_field(struct bytes *rest, char separator)
{
    const uint8_t *hit = rest->len == 0 ? NULL : memchr(rest->data, separator, rest->len);
    size_t len = hit == NULL ? rest->len : (size_t)(hit - rest->data);
    struct bytes field = bytes_make(rest->data, len);
    size_t used = hit == NULL ? len : len + 1;
    *rest = bytes_make(rest->data + used, rest->len - used);
    return field;
}

static bool parse_count(struct bytes text, uint64_t *out)
{
    if (text.len == 0 || text.len > 18)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = value;
    return true;
}

static bool parse_op(struct bytes text, enum env_op *out)
{
    for (int op = 0; op < ENV_OP_COUNT; op++) {
        if (bytes_equal(text, bytes_text(env_op_name((enum env_op)op)))) {
            *out = (enum env_op)op;
            return true;
        }
    }
    return false;
}

static bool parse_action(struct bytes text, int *out)
{
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (bytes_equal(text, bytes_text(actions[i].name))) {
            *out = actions[i].action;
            return true;
        }
    }
    uint64_t number = 0;
    if (!parse_count(text, &number) || number == 0 || number > 4095)
        return false;
    *out = (int)number;
    return true;
}

static bool parse_fault(struct bytes text, struct fault *out)
{
    struct fault fault = {.count = 1};
    struct bytes op = next_field(&text, ':');
    struct bytes part = next_field(&text, ':');
    struct bytes first = next_field(&text, ':');
    struct bytes action = next_field(&text, ':');
    if (part.len >= sizeof(fault.path_part) || !parse_op(op, &fault.op) ||
        !parse_count(first, &fault.first) || fault.first == 0 ||
        !parse_action(action, &fault.action))
        return false;
    if (text.len != 0 && !parse_count(text, &fault.count))
        return false;
    memcpy(fault.path_part, part.data, part.len);
    *out = fault;
    return true;
}

enum status env_posix_with_faults(const char *spec, struct env **out, struct err *err)
{
    struct faults *faults = mem_calloc(1, sizeof(*faults));
    struct bytes rest = bytes_text(spec);
    while (rest.len > 0) {
        struct bytes text = next_field(&rest, ';');
        if (faults->count == FAULTS_MAX || !parse_fault(text, &faults->items[faults->count])) {
            mem_free(faults);
            return err_set(err, ST_INVALID,
                           "fault \"%.*s\" is not op:path-substring:nth:errno[:count]",
                           (int)text.len, (const char *)text.data);
        }
        faults->count++;
    }
    (void)pthread_mutex_init(&faults->lock, NULL);
    env_hook_init(&faults->hook, env_posix(), before_call, after_call, faults);
    *out = &faults->hook.env;
    return ST_OK;
}
