#include "storage/feed.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "storage/env.h"
#include "storage/executor.h"
#include "storage/journal.h"

#include <string.h>

struct feeds {
    struct env *env;
    struct journal *journal;
    struct completions *completions;
    struct executor *executor;
    size_t jobs; /* feeds that are not freed yet, and files that are to be deleted */
};

struct feed {
    struct job job; /* first: see run() */
    struct feeds *feeds;
    feed_fn *fn;
    void *arg;
    struct journal_reader *reader; /* NULL before the first read */
    uint64_t offset;
    int fd; /* -1: no file (any more) */
    uint64_t file_pos;
    size_t bytes_max;
    struct feed_piece piece;
    bool reading;
    bool orphan; /* destroyed while reading */
};

/* ---- On the thread ----------------------------------------------------------------------------
 */

static void close_file(struct feed *feed)
{
    env_close(feed->feeds->env, feed->fd);
    feed->fd = -1;
}

static enum status read_file(struct feed *feed, struct feed_piece *piece)
{
    size_t len;
    uint8_t *room = buf_reserve(&piece->bytes, feed->bytes_max);
    enum status st = env_read_at(feed->feeds->env, feed->fd, "the RDB file", feed->file_pos, room,
                                 feed->bytes_max, &len, &piece->err);
    if (st != ST_OK)
        return st;
    piece->bytes.len += len;
    feed->file_pos += len;
    piece->file_ended = len < feed->bytes_max;
    if (piece->file_ended)
        close_file(feed);
    return ST_OK;
}

/* Blocks that the journal already had before the offset are passed over. */
static enum status read_journal(struct feed *feed, struct feed_piece *piece)
{
    while (piece->bytes.len < feed->bytes_max) {
        uint32_t db;
        uint64_t offset;
        struct bytes payload;
        enum status st = journal_reader_next(feed->reader, &db, &offset, &payload, &piece->err);
        if (st == ST_END)
            return ST_OK;
        if (st != ST_OK)
            return st;
        uint64_t known = feed->offset > offset ? feed->offset - offset : 0;
        if (known >= payload.len)
            continue;
        buf_append(&piece->bytes, payload.data + known, payload.len - known);
        feed->offset = offset + payload.len;
    }
    return ST_OK;
}

static enum status read_some(struct feed *feed, struct feed_piece *piece)
{
    if (feed->reader == NULL)
        return journal_reader_open(feed->feeds->journal, feed->offset, &feed->reader, &piece->err);
    return feed->fd >= 0 ? read_file(feed, piece) : read_journal(feed, piece);
}

static void run(struct job *job)
{
    struct feed *feed = (struct feed *)(void *)job;
    feed->piece.status = read_some(feed, &feed->piece);
}

/* ---- Main thread ------------------------------------------------------------------------------
 */

static void end(struct feed *feed);

static void done(struct job *job)
{
    struct feed *feed = (struct feed *)(void *)job;
    feed->reading = false;
    if (feed->orphan) {
        end(feed);
        return;
    }
    struct feed_piece piece = feed->piece;
    feed->piece.bytes = (struct buf){0};
    feed->fn(feed->arg, &piece);
    buf_deinit(&piece.bytes);
}

static void submit(struct feed *feed, job_fn *run_fn, job_fn *done_fn)
{
    feed->job.run = run_fn;
    feed->job.done = done_fn;
    executor_submit(feed->feeds->executor, &feed->job);
}

static void start(struct feed *feed)
{
    CHECK(!feed->reading);
    feed->reading = true;
    feed->piece = (struct feed_piece){0};
    submit(feed, run, done);
}

/* The file's last reference may be the feed's: closing it takes its time. */
static void run_close(struct job *job)
{
    struct feed *feed = (struct feed *)(void *)job;
    close_file(feed);
    journal_reader_close(feed->reader);
}

static void done_close(struct job *job)
{
    struct feed *feed = (struct feed *)(void *)job;
    feed->feeds->jobs--;
    buf_deinit(&feed->piece.bytes);
    mem_free(feed);
}

static void end(struct feed *feed)
{
    submit(feed, run_close, done_close);
}

struct feed *feed_create(struct feeds *feeds, uint64_t offset, feed_fn *fn, void *arg)
{
    struct feed *feed = mem_calloc(1, sizeof(*feed));
    feed->feeds = feeds;
    feeds->jobs++;
    feed->fn = fn;
    feed->arg = arg;
    feed->offset = offset;
    feed->fd = -1;
    start(feed);
    return feed;
}

void feed_destroy(struct feed *feed)
{
    if (feed == NULL)
        return;
    if (feed->reading)
        feed->orphan = true;
    else
        end(feed);
}

void feed_set_file(struct feed *feed, int fd, uint64_t offset)
{
    CHECK(!feed->reading);
    CHECK(feed->fd < 0 && feed->offset <= offset);
    feed->fd = fd;
    feed->file_pos = 0;
    feed->offset = offset;
}

void feed_read(struct feed *feed, size_t bytes_max)
{
    CHECK(bytes_max > 0);
    feed->bytes_max = bytes_max;
    start(feed);
}

bool feed_is_reading(const struct feed *feed)
{
    return feed->reading;
}

uint64_t feed_offset(const struct feed *feed)
{
    return feed->offset;
}

/* ---- All of them ------------------------------------------------------------------------------
 */

struct unlinking {
    struct job job; /* first */
    struct feeds *feeds;
    char path[];
};

static void run_unlink(struct job *job)
{
    struct unlinking *unlinking = (struct unlinking *)(void *)job;
    (void)unlinking->feeds->env->unlink(unlinking->feeds->env, unlinking->path);
}

static void done_unlink(struct job *job)
{
    struct unlinking *unlinking = (struct unlinking *)(void *)job;
    unlinking->feeds->jobs--;
    mem_free(unlinking);
}

void feeds_unlink(struct feeds *feeds, const char *path)
{
    size_t bytes = strlen(path) + 1;
    struct unlinking *unlinking = mem_alloc(sizeof(*unlinking) + bytes);
    unlinking->job = (struct job){.run = run_unlink, .done = done_unlink};
    unlinking->feeds = feeds;
    memcpy(unlinking->path, path, bytes);
    feeds->jobs++;
    executor_submit(feeds->executor, &unlinking->job);
}

struct feeds *feeds_create(struct env *env, struct journal *journal, struct completions *c)
{
    struct feeds *feeds = mem_calloc(1, sizeof(*feeds));
    feeds->env = env;
    feeds->journal = journal;
    feeds->completions = c;
    feeds->executor = executor_create("feed", 1, c);
    return feeds;
}

void feeds_destroy(struct feeds *feeds)
{
    if (feeds == NULL)
        return;
    while (feeds->jobs > 0) {
        completions_wait(feeds->completions);
        (void)completions_drain(feeds->completions);
    }
    executor_destroy(feeds->executor);
    mem_free(feeds);
}
