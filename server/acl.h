/* Users and who is which: the access control list. Every session has a user (NULL: one that may do
 * everything, such as the journal's replay); exec_access.c asks before a request runs.
 *
 * Users come from `user` lines of the configuration or from the ACL file, and from ACL SETUSER.
 * They are no data: the journal does not have them. A user's address stays the same as long as
 * there is such a user; when it goes, its connections are closed. Main thread. Source: acl.c of
 * Redis 7.2. */
#ifndef BASALT_SERVER_ACL_H
#define BASALT_SERVER_ACL_H

#include "codec/status.h"
#include "server/acl_user.h"
#include "server/session.h"

struct acl;
struct acl_log;
struct services;

/* With the default user only, who has the password that `requirepass` says. `services` is borrowed;
 * its config and commands are used now, its connections, if there are any, when users change. */
struct acl *acl_create(struct services *services);
/* Accepts NULL. */
void acl_destroy(struct acl *acl);
/* Takes over the configuration's users, or the ACL file's. For the start: an error is fatal. */
MUST_USE enum status acl_load_configured(struct acl *acl, struct err *err);

/* ---- Users. */

struct acl_user *acl_default_user(const struct acl *acl);
/* NULL when there is none of that name. */
struct acl_user *acl_find(const struct acl *acl, struct bytes name);
/* In the order of their names. */
size_t acl_count(const struct acl *acl);
struct acl_user *acl_at(const struct acl *acl, size_t index);

/* ACL SETUSER: changes or creates a user by all of the rules, or by none. False: the reason is
 * appended to `error`. Subscribers who lost a channel are disconnected; `self` after its reply. */
bool acl_set_user(struct acl *acl, struct session *self, struct bytes name,
                  const struct bytes *rules, size_t count, struct buf *error);
/* ACL DELUSER. False: there is no such user. It must not be the default one. */
bool acl_delete_user(struct acl *acl, struct session *self, struct bytes name);

/* ACL LOAD, all of the file or nothing: false, and what is wrong is appended to `error`. Who was
 * logged in as another than the default user is disconnected. */
bool acl_load_file(struct acl *acl, struct session *self, struct buf *error);
/* ACL SAVE, durably. What went wrong is logged. */
bool acl_save_file(struct acl *acl);

/* ---- Sessions. */

/* Makes the session what a new connection is: the default user, logged in if it needs no password.
 */
void acl_admit(const struct acl *acl, struct session *session);
/* Logs the session in. False: there is no such user, it is disabled, or the password is wrong. */
bool acl_log_in(struct acl *acl, struct session *session, struct bytes name, struct bytes password);
/* The default user may be used by anybody. */
bool acl_is_open(const struct acl *acl);
/* Whether a session must say who it is before anything else. */
static inline bool acl_must_log_in(const struct acl *acl, const struct session *session)
{
    return !session->authenticated && !acl_is_open(acl);
}
/* As CLIENT LIST shows it. */
const char *acl_name_of(const struct session *session);

/* ---- What was denied. */

struct acl_log *acl_log_of(const struct acl *acl);
/* Appends what is told of a denial: "User x has no permissions to run the 'get' command". With
 * `verbose` names of keys and channels, too. */
void acl_explain(struct buf *out, enum acl_result result, const struct acl_user *user,
                 const struct command *command, struct bytes arg, bool verbose);

#endif
