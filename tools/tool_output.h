/* What the tool's commands share in how they speak: errors, JSON, signals. */
#ifndef BASALT_TOOLS_TOOL_OUTPUT_H
#define BASALT_TOOLS_TOOL_OUTPUT_H

#include <stdbool.h>

#include "codec/bytes.h"
#include "codec/status.h"

struct buf;

/* Says on standard error what is wrong with the command line; `value` may be NULL. False. */
bool tool_complain(const char *command, const char *text, const char *value);
/* The command did not do what it was told: a line on standard error, and JSON if wanted. */
void tool_print_failure(const char *command, bool json, enum status st, const struct err *err);
/* A JSON string with quotes. */
void tool_append_json_text(struct buf *out, const char *text);
/* The same of any bytes; what is not UTF-8 becomes {"base64":"..."}. */
void tool_append_json_bytes(struct buf *out, struct bytes text);
void tool_print(const struct buf *out);

/* SIGINT, SIGTERM, SIGHUP: noted, so that a job can stop in order. */
struct tool_signals {
    int fd;
    int signal; /* that came; 0: none */
};
void tool_signals_catch(struct tool_signals *signals);
/* Whether one came. Cheap enough for each step of a job. */
bool tool_signals_poll(struct tool_signals *signals);
void tool_signals_release(struct tool_signals *signals);

/* RocksDB holds every table of a store open. */
void tool_allow_many_files(void);

#endif
