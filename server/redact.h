/* Which arguments of a request are secrets: passwords, keys of TLS, rules of users. What is shown
 * of requests (SLOWLOG, MONITOR) has "(redacted)" in their place. Source: the calls of
 * redactClientCommandArgument in Redis 7.2. */
#ifndef BASALT_SERVER_REDACT_H
#define BASALT_SERVER_REDACT_H

#include "codec/bytes.h"

#include <stdbool.h>

struct command;
struct config;

#define REDACTED_TEXT "(redacted)"

/* Goes over the arguments of one request from the first on. Private. */
struct redact {
    const struct config *config;
    int kind;
    int secrets_left; /* behind a word such as AUTH */
};

void redact_init(struct redact *redact, const struct config *config, const struct command *command);
/* The next argument as it may be shown; `previous` is the one before it, empty for the first. Call
 * for each argument in order. */
struct bytes redact_next(struct redact *redact, struct bytes previous, struct bytes arg, int index);

#endif
