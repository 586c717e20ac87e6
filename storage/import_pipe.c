#include "storage/import_internal.h"

#include "codec/mem.h"

#include <pthread.h>

struct ring {
    void *items[IMPORT_PIPE_ITEMS_MAX];
    size_t first;
    size_t count;
};

struct import_pipe {
    import_work_fn *work;
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    struct ring free;
    struct ring full;
    bool ending;
    enum status status; /* of the work so far */
    struct err err;
};

static void push(struct ring *ring, void *item)
{
    CHECK(ring->count < IMPORT_PIPE_ITEMS_MAX);
    ring->items[(ring->first + ring->count++) % IMPORT_PIPE_ITEMS_MAX] = item;
}

static void *pop(struct ring *ring)
{
    void *item = ring->items[ring->first];
    ring->first = (ring->first + 1) % IMPORT_PIPE_ITEMS_MAX;
    ring->count--;
    return item;
}

static void *run(void *arg)
{
    struct import_pipe *pipe = arg;
    (void)pthread_setname_np(pthread_self(), "import");
    (void)pthread_mutex_lock(&pipe->lock);
    for (;;) {
        while (pipe->full.count == 0 && !pipe->ending)
            (void)pthread_cond_wait(&pipe->changed, &pipe->lock);
        if (pipe->full.count == 0)
            break;
        void *item = pop(&pipe->full);
        if (pipe->status == ST_OK) {
            (void)pthread_mutex_unlock(&pipe->lock);
            struct err err;
            enum status st = pipe->work(pipe->arg, item, &err);
            (void)pthread_mutex_lock(&pipe->lock);
            if (st != ST_OK) {
                pipe->status = st;
                pipe->err = err;
            }
        }
        push(&pipe->free, item);
        (void)pthread_cond_broadcast(&pipe->changed);
    }
    (void)pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

struct import_pipe *import_pipe_create(void *const *items, size_t count, import_work_fn *work,
                                       void *arg)
{
    struct import_pipe *pipe = mem_calloc(1, sizeof(*pipe));
    pipe->work = work;
    pipe->arg = arg;
    for (size_t i = 0; i < count; i++)
        push(&pipe->free, items[i]);
    CHECK(pthread_mutex_init(&pipe->lock, NULL) == 0);
    CHECK(pthread_cond_init(&pipe->changed, NULL) == 0);
    CHECK(pthread_create(&pipe->thread, NULL, run, pipe) == 0);
    return pipe;
}

void *import_pipe_take(struct import_pipe *pipe)
{
    (void)pthread_mutex_lock(&pipe->lock);
    while (pipe->free.count == 0 && pipe->status == ST_OK)
        (void)pthread_cond_wait(&pipe->changed, &pipe->lock);
    void *item = pipe->status == ST_OK ? pop(&pipe->free) : NULL;
    (void)pthread_mutex_unlock(&pipe->lock);
    return item;
}

void import_pipe_submit(struct import_pipe *pipe, void *item)
{
    (void)pthread_mutex_lock(&pipe->lock);
    push(&pipe->full, item);
    (void)pthread_cond_broadcast(&pipe->changed);
    (void)pthread_mutex_unlock(&pipe->lock);
}

enum status import_pipe_join(struct import_pipe *pipe, struct err *err)
{
    if (pipe == NULL)
        return ST_OK;
    (void)pthread_mutex_lock(&pipe->lock);
    pipe->ending = true;
    (void)pthread_cond_broadcast(&pipe->changed);
    (void)pthread_mutex_unlock(&pipe->lock);
    CHECK(pthread_join(pipe->thread, NULL) == 0);
    enum status st = pipe->status;
    if (st != ST_OK && err != NULL)
        *err = pipe->err;
    (void)pthread_cond_destroy(&pipe->changed);
    (void)pthread_mutex_destroy(&pipe->lock);
    mem_free(pipe);
    return st;
}
