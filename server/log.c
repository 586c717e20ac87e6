/* The sink is the one mutable global that the house rules allow: a message must find its way out
 * from any place and any thread. Options are published as one immutable struct behind an atomic
 * pointer; a replaced one is kept until log_close, since a thread may be writing through it,
 * which costs some bytes for each log_open (one or two per process). */
#include "server/log.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/log_syslog.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES_MAX (LOG_TEXT_BYTES_MAX + LOG_TIME_BYTES_MAX + 32)

struct sink {
    char *path; /* owned, absolute; NULL: standard output */
    bool syslog;
    char *syslog_ident;    /* owned; openlog keeps the pointer */
    struct sink *previous; /* keeps replaced sinks reachable */
};

static struct sink stdout_sink = {0};
static _Atomic(struct sink *) current_sink = &stdout_sink;
static atomic_int threshold = LOG_NOTICE;
static _Atomic(char) role_letter = 'M';

/* Joins the working directory with a relative path, so that a later change of it moves no log. */
static char *absolute_path(const char *path)
{
    if (path[0] == '/')
        return mem_strdup(path);
    char directory[PATH_MAX];
    if (getcwd(directory, sizeof(directory)) == NULL)
        return mem_strdup(path);
    size_t size = strlen(directory) + strlen(path) + 2;
    char *joined = mem_alloc(size);
    (void)snprintf(joined, size, "%s/%s", directory, path);
    return joined;
}

static int open_for_append(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

enum status log_open(const struct log_options *options, struct err *err)
{
    bool to_file = options->path != NULL && options->path[0] != '\0';
    if (to_file) {
        int fd = open_for_append(options->path);
        if (fd < 0)
            return err_set_os(err, ST_IO, errno, "Can't open the log file: %s", strerror(errno));
        (void)close(fd);
    }
    struct sink *sink = mem_calloc(1, sizeof(*sink));
    sink->path = to_file ? absolute_path(options->path) : NULL;
    sink->syslog = options->syslog;
    if (sink->syslog) {
        sink->syslog_ident = mem_strdup(options->syslog_ident);
        log_syslog_open(sink->syslog_ident, options->syslog_facility);
    }
    sink->previous = atomic_load(&current_sink);
    atomic_store(&current_sink, sink);
    log_set_level(options->level);
    return ST_OK;
}

void log_close(void)
{
    struct sink *sink = atomic_exchange(&current_sink, &stdout_sink);
    if (sink->syslog)
        log_syslog_close();
    while (sink != &stdout_sink) {
        struct sink *previous = sink->previous;
        mem_free(sink->path);
        mem_free(sink->syslog_ident);
        mem_free(sink);
        sink = previous;
    }
    log_set_level(LOG_NOTICE);
}

void log_set_level(int level)
{
    CHECK(level >= LOG_DEBUG && level <= LOG_NOTHING);
    atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

bool log_enabled(int level)
{
    return level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void log_set_role(char role)
{
    atomic_store_explicit(&role_letter, role, memory_order_relaxed);
}

void log_format_time(char *out, long long realtime_us)
{
    time_t seconds = (time_t)(realtime_us / 1000000);
    struct tm tm;
    (void)localtime_r(&seconds, &tm);
    char day[LOG_TIME_BYTES_MAX / 2];
    (void)strftime(day, sizeof(day), "%d %b %Y %H:%M:%S", &tm);
    (void)snprintf(out, LOG_TIME_BYTES_MAX, "%s.%03d", day, (int)(realtime_us % 1000000 / 1000));
}

/* A log that cannot be written has nowhere to say so: the message is lost, the server goes on. */
static void write_line(const struct sink *sink, const char *line, size_t len)
{
    int fd = sink->path == NULL ? STDOUT_FILENO : open_for_append(sink->path);
    if (fd < 0)
        return;
    size_t done = 0;
    while (done < len) {
        ssize_t written = write(fd, line + done, len - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            break;
        done += (size_t)written;
    }
    if (sink->path != NULL)
        (void)close(fd);
}

void log_sink(void *arg, int level, const char *text)
{
    (void)arg;
    CHECK(level >= LOG_DEBUG && level <= LOG_WARNING);
    if (!log_enabled(level))
        return;
    int saved_errno = errno;
    struct timeval now;
    (void)gettimeofday(&now, NULL);
    char when[LOG_TIME_BYTES_MAX];
    log_format_time(when, (long long)now.tv_sec * 1000000 + now.tv_usec);
    char line[LOG_LINE_BYTES_MAX];
    int len = snprintf(line, sizeof(line), "%d:%c %s %c %.*s\n", (int)getpid(),
                       atomic_load_explicit(&role_letter, memory_order_relaxed), when,
                       ".-*#"[level], LOG_TEXT_BYTES_MAX - 1, text);
    CHECK(len > 0 && (size_t)len < sizeof(line));
    const struct sink *sink = atomic_load(&current_sink);
    write_line(sink, line, (size_t)len);
    if (sink->syslog)
        log_syslog_write(level, text);
    errno = saved_errno;
}

void log_write(int level, const char *format, ...)
{
    if (!log_enabled(level))
        return;
    char text[LOG_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_sink(NULL, level, text);
}
