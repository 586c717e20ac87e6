/* The server's log: one line per message, in Redis's form, so that tools that read one read the
 * other:
 *
 *     <pid>:<role> <dd Mon yyyy hh:mm:ss.mmm> <sign> <text>
 *
 * role is M for a master and S for a replica; the sign is . - * # for debug, verbose, notice and
 * warning. A line is written by one write() to a file that is opened for appending for that line
 * only: lines of several threads never mix, no lock is needed, and a rotated file is followed at
 * once.
 *
 * Thread: log_write, log_sink and log_enabled any; the others main. Blocks: for one write. */
#ifndef BASALT_SERVER_LOG_H
#define BASALT_SERVER_LOG_H

#include "codec/log_fn.h"
#include "codec/status.h"

#include <stdbool.h>

/* Longer messages are cut off. */
#define LOG_TEXT_BYTES_MAX 1024

struct log_options {
    const char *path; /* "" or NULL: standard output; a relative path is made absolute at once */
    int level;        /* least important level that is written */
    bool syslog;      /* send to syslog as well */
    const char *syslog_ident;
    int syslog_facility; /* 0: user, 1..8: local0..local7, as enum config_syslog_facility */
};

/* Until this is called, messages of LOG_NOTICE and above go to standard output.
 * Returns ST_IO when the file cannot be opened for appending; the log then stays as it was. */
MUST_USE enum status log_open(const struct log_options *options, struct err *err);
/* Back to standard output, LOG_NOTICE. Call when no other thread logs any more. */
void log_close(void);
void log_set_level(int level);
bool log_enabled(int level);
/* 'M' or 'S'. */
void log_set_role(char role);

void log_write(int level, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same as a log_fn for lower layers; `arg` is ignored. */
void log_sink(void *arg, int level, const char *text);

/* The time as log lines show it, "21 Nov 2025 07:56:01.123"; at least LOG_TIME_BYTES_MAX bytes. */
#define LOG_TIME_BYTES_MAX 64
void log_format_time(char *out, long long realtime_us);

#endif
