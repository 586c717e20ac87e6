#include "server/oom_score.h"

#include "server/config.h"
#include "server/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCORE_MAX 1000

static enum status read_score(const char *path, int *out, struct err *err)
{
    char text[32];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (len < 0)
        return err_set_os(err, ST_IO, error, "Unable to read oom_score_adj: %s", strerror(error));
    text[len] = '\0';
    *out = (int)strtol(text, NULL, 10);
    return ST_OK;
}

static enum status write_score(const char *path, int score, struct err *err)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%d\n", score);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t written = fd < 0 ? -1 : write(fd, text, (size_t)len);
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    if (written < 0)
        return err_set_os(err, ST_IO, error, "Unable to write oom_score_adj: %s", strerror(error));
    return ST_OK;
}

enum status oom_score_update(struct oom_score *self, const struct config *config, struct err *err)
{
    if (config->oom_score_adj == CONFIG_OOM_NO) {
        if (!self->adjusted)
            return ST_OK;
        self->adjusted = false;
        return write_score(self->path, self->base, err);
    }
    if (!self->adjusted) {
        enum status st = read_score(self->path, &self->base, err);
        if (st != ST_OK)
            return st;
        self->adjusted = true;
    }
    int score = config->oom_score_adj_values[config->replicaof.host != NULL ? 1 : 0];
    if (config->oom_score_adj == CONFIG_OOM_RELATIVE)
        score += self->base;
    score = score > SCORE_MAX ? SCORE_MAX : score;
    score = score < -SCORE_MAX ? -SCORE_MAX : score;
    return write_score(self->path, score, err);
}

enum status oom_score_apply(void *arg, const struct config *config, struct err *err)
{
    struct err reason = {0};
    enum status st = oom_score_update(arg, config, &reason);
    if (st == ST_OK)
        return ST_OK;
    log_write(LOG_WARNING, "%s", reason.message);
    return err_set_os(err, st, reason.os_errno,
                      "Failed to set current oom_score_adj. Check server logs.");
}
