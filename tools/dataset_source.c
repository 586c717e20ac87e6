#include "tools/dataset_source.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/check.h"
#include "server/version.h"
#include "storage/env.h"
#include "tools/tool_output.h"

#define READ_END  0
#define WRITE_END 1

/* ---- The thread ---- */

/* An rdb_write_fn. */
static enum status send_piece(void *arg, struct bytes data, struct err *err)
{
    struct dataset_source *source = arg;
    while (data.len != 0) {
        ssize_t sent = send(source->write_fd, data.data, data.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            source->cut_off = true;
            return err_set_os(err, ST_AGAIN, errno, "nobody reads on");
        }
        data = bytes_make(data.data + sent, data.len - (size_t)sent);
    }
    return ST_OK;
}

static bool is_wanted(void *arg, uint32_t db, enum object_type type, struct bytes key)
{
    return rdb_filter_wants(&((const struct dataset_source *)arg)->filter, db, type, key);
}

static void *run(void *arg)
{
    struct dataset_source *source = arg;
    source->status = rdb_export_run(&source->options, &source->report, &source->err);
    (void)close(source->write_fd);
    return NULL;
}

/* ---- The reader's side ---- */

enum status dataset_source_open(struct dataset_source *source, const char *dir,
                                const struct rdb_filter *filter, bool ignore_journal,
                                const char *doing, struct tool_signals *signals, struct err *err)
{
    int fds[2];
    *source = (struct dataset_source){.filter = *filter};
    source->options = (struct rdb_export_options){.env = env_posix(),
                                                  .dir = dir,
                                                  .redis_version = REDIS_COMPATIBLE_VERSION,
                                                  .version = RDB_VERSION_MAX,
                                                  .ignore_journal = ignore_journal,
                                                  .write = send_piece,
                                                  .write_arg = source,
                                                  .arg = source};
    if (!rdb_filter_is_empty(filter))
        source->options.wanted = is_wanted;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return err_set_os(err, ST_IO, errno, "cannot make a socket: %s", strerror(errno));
    tool_allow_many_files();
    source->write_fd = fds[WRITE_END];
    rdb_source_open_fd(&source->rdb, fds[READ_END], dir, doing, signals);
    source->started = pthread_create(&source->thread, NULL, run, source) == 0;
    CHECK(source->started);
    return ST_OK;
}

enum status dataset_source_close(struct dataset_source *source, enum status st, struct err *err)
{
    rdb_source_close(&source->rdb); /* which ends the thread, if it has not ended yet */
    if (!source->started)
        return st;
    CHECK(pthread_join(source->thread, NULL) == 0);
    if (source->status == ST_OK || source->cut_off)
        return st;
    *err = source->err;
    return source->status;
}
