/* Command rows as clients see them: the replies of COMMAND and COMMAND DOCS, and the names of flags
 * and ACL categories. Main thread. Source: COMMAND of Redis 7.2. */
#ifndef BASALT_SERVER_COMMAND_INFO_H
#define BASALT_SERVER_COMMAND_INFO_H

#include "server/command.h"
#include "server/reply.h"

/* One entry of COMMAND and COMMAND INFO, its subcommands included; nil for NULL. */
void command_info_reply(struct reply *reply, const struct command_table *table,
                        const struct command *command);
/* One value of COMMAND DOCS' map. */
void command_info_reply_docs(struct reply *reply, const struct command_table *table,
                             const struct command *command);
/* The names of a key's KEY_* flags, as a set. */
void command_info_reply_key_flags(struct reply *reply, uint32_t flags);

/* The names of all categories, without "@". */
void command_info_reply_acl_categories(struct reply *reply);
/* The category's bit by its name (any case, without "@"); 0 when unknown. */
uint32_t command_info_find_acl_category(struct bytes name);

#endif
