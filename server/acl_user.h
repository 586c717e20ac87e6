/* A user: a name, passwords, and selectors. Rules change a copy first, so that a list of rules is
 * applied as a whole or not at all. Main thread. Source: acl.c of Redis 7.2. */
#ifndef BASALT_SERVER_ACL_USER_H
#define BASALT_SERVER_ACL_USER_H

#include "codec/sha256.h"
#include "server/acl_selector.h"

struct acl_password {
    char hash[SHA256_HEX_CHARS + 1];
};

struct acl_user {
    bool unrestricted; /* one selector allows everything: all that most requests look at */
    bool enabled;
    bool no_password;               /* any password will do */
    bool skip_sanitize;             /* RESTORE trusts its payloads */
    char *name;                     /* owned; has neither blanks nor zero bytes */
    struct acl_password *passwords; /* owned */
    size_t password_count;
    struct acl_selector *selectors; /* owned; the first one is there always: the root */
    size_t selector_count;
};

/* Disabled, without a password or any permission. */
struct acl_user *acl_user_create(struct bytes name, const struct acl_terms *terms);
/* Accepts NULL. */
void acl_user_destroy(struct acl_user *user);
/* Gives `to` all that `from` has but its name. */
void acl_user_assign(struct acl_user *to, const struct acl_user *from);

/* False: such a name would not survive a file. */
bool acl_user_name_is_valid(struct bytes name);

/* Applies one rule. NULL, or why it is refused; then nothing has changed. */
const char *acl_user_apply(struct acl_user *user, const struct acl_terms *terms, struct bytes rule);

/* A selector may stand in several arguments: "(+get", "~a)". Joins those. */
struct acl_rules {
    struct bytes *items; /* owned array; borrowed texts, or in `joined` */
    size_t count;
    struct bytes *joined; /* owned, each */
    size_t joined_count;
};
/* False: a parenthesis is not closed; `*open_out` is the argument where it is. */
bool acl_rules_join(const struct bytes *args, size_t count, struct acl_rules *out,
                    size_t *open_out);
void acl_rules_deinit(struct acl_rules *rules);

/* Appends the rules that make this user: "on #… ~* …". */
void acl_user_describe(const struct acl_user *user, struct buf *out);

/* In constant time for passwords of one length. */
bool acl_user_has_password(const struct acl_user *user, struct bytes password);

/* ---- Asking. */

enum acl_result {
    ACL_ALLOWED,
    ACL_DENIED_COMMAND,
    ACL_DENIED_KEY,
    ACL_DENIED_AUTH, /* not by acl_user_check */
    ACL_DENIED_CHANNEL,
};

/* Whether one of the selectors allows all of a request; else what is told of several reasons: the
 * one that is closest to success. `*arg_out` is then the argument that it is about. The row's arity
 * has been checked. */
enum acl_result acl_user_check(const struct acl_user *user, const struct command *command,
                               const struct bytes *argv, int argc, int *arg_out);
/* Whether a selector that allows the request also allows access (KEY_*) to every key there is. */
bool acl_user_check_all_keys(const struct acl_user *user, const struct command *command,
                             const struct bytes *argv, int argc, uint32_t flags);

#endif
