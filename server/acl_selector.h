/* A selector: a set of permissions, of which a user has one or several. A request is allowed if one
 * selector allows all of it: the command, each key and each channel.
 *
 * Commands are a bitmap by command id, made by rules that are applied in their order; the rules
 * themselves are kept, too, so that they can be shown and written to files. Main thread. Source:
 * acl.c of Redis 7.2. */
#ifndef BASALT_SERVER_ACL_SELECTOR_H
#define BASALT_SERVER_ACL_SELECTOR_H

#include "codec/buf.h"
#include "server/command.h"

/* What rules are made of. */
struct acl_terms {
    const struct command_table *commands; /* borrowed */
    bool all_channels; /* acl-pubsub-default: what new users and selectors begin with */
};

#define ACL_COMMAND_COUNT_MAX 1024

enum { ACL_READ_KEY = 1 << 0, ACL_WRITE_KEY = 1 << 1 };

struct acl_key_pattern {
    struct bytes pattern; /* owned */
    int access;           /* ACL_*_KEY; 0 cannot be */
};

/* "+select|0": a command that is allowed with this first argument. */
struct acl_first_arg {
    int command_id;
    struct bytes arg; /* owned */
};

struct acl_selector {
    bool all_commands;    /* the bitmap need not be asked */
    bool future_commands; /* it began with +@all */
    bool all_keys;
    bool all_channels;
    uint64_t commands[ACL_COMMAND_COUNT_MAX / 64]; /* by command id */
    struct acl_first_arg *first_args;              /* owned */
    size_t first_arg_count;
    struct acl_key_pattern *keys; /* owned */
    size_t key_count;
    struct bytes *channels; /* owned, each */
    size_t channel_count;
    struct bytes *rules; /* owned, each: "+get", "-@write", in their order */
    size_t rule_count;
};

/* No permissions but what acl-pubsub-default says. */
void acl_selector_init(struct acl_selector *selector, const struct acl_terms *terms);
void acl_selector_deinit(struct acl_selector *selector);
void acl_selector_copy(struct acl_selector *to, const struct acl_selector *from);

/* Why a rule was refused: the texts that clients read. */
#define ACL_ERROR_UNKNOWN "Unknown command or category name in ACL"
#define ACL_ERROR_SYNTAX  "Syntax error"

/* Applies one rule ("+get", "~cache:*", "resetchannels"). NULL, or why it is refused; then nothing
 * has changed. */
const char *acl_selector_apply(struct acl_selector *selector, const struct acl_terms *terms,
                               struct bytes rule);

/* Appends rules that make the same selector of a new one: all of them, or those of one kind. */
void acl_selector_describe(const struct acl_selector *selector, struct buf *out);
void acl_selector_describe_commands(const struct acl_selector *selector, struct buf *out);
void acl_selector_describe_keys(const struct acl_selector *selector, struct buf *out);
void acl_selector_describe_channels(const struct acl_selector *selector, struct buf *out);

/* ---- Asking. */

bool acl_selector_allows_command(const struct acl_selector *selector, const struct command *command,
                                 const struct bytes *argv, int argc);
/* `flags` are the KEY_* of the key's specification. */
bool acl_selector_allows_key(const struct acl_selector *selector, struct bytes key, uint32_t flags);
/* The same for any key there might be. */
bool acl_selector_allows_all_keys(const struct acl_selector *selector, uint32_t flags);
/* Patterns to subscribe to must be among the selector's, word for word. */
bool acl_selector_allows_channel(const struct acl_selector *selector, struct bytes channel,
                                 bool is_pattern);

#endif
