/* The system's log. Apart from log.c because <syslog.h> defines LOG_DEBUG and the like for itself.
 */
#ifndef BASALT_SERVER_LOG_SYSLOG_H
#define BASALT_SERVER_LOG_SYSLOG_H

/* `ident` must stay valid until the close; facility 0: user, 1..8: local0..local7. */
void log_syslog_open(const char *ident, int facility);
void log_syslog_close(void);
/* `level` is one of enum log_level but not LOG_NOTHING. Thread: any. */
void log_syslog_write(int level, const char *text);

#endif
