/* Shared by acl.c and acl_file.c. */
#ifndef BASALT_SERVER_ACL_INTERNAL_H
#define BASALT_SERVER_ACL_INTERNAL_H

#include "server/acl.h"

/* Users in the order of their names. */
struct acl_users {
    struct acl_user **items; /* owned, each */
    size_t count;
};

struct acl {
    struct services *services; /* borrowed */
    struct acl_users users;
    struct acl_user *default_user; /* one of them */
    struct acl_log *log;           /* owned */
};

struct acl_user *acl_users_find(const struct acl_users *users, struct bytes name);
/* Takes the user; there is none of its name. */
void acl_users_add(struct acl_users *users, struct acl_user *user);
void acl_users_deinit(struct acl_users *users);

struct acl_terms acl_terms_now(const struct acl *acl);
/* A default user as it is at first: it may do everything, without a password. */
struct acl_user *acl_make_default_user(const struct acl *acl);
/* Puts other users in place of those there are. Takes them; the default user is assigned. */
void acl_replace_users(struct acl *acl, struct session *self, struct acl_users *users);

#endif
