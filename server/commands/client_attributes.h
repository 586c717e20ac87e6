/* Names that clients give themselves: what HELLO and CLIENT share. */
#ifndef BASALT_SERVER_COMMANDS_CLIENT_ATTRIBUTES_H
#define BASALT_SERVER_COMMANDS_CLIENT_ATTRIBUTES_H

#include "codec/bytes.h"

#include <stdbool.h>

struct call;

/* Printable ASCII without blanks, so that CLIENT LIST can be split at them. Empty is valid. */
bool client_attribute_is_valid(struct bytes value);
/* The same for a connection's name; replies when it is not. */
bool client_check_name(struct call *c, struct bytes name);
/* Replaces `*attribute` (owned text or NULL) by a copy of `value`, by NULL when that is empty. */
void client_set_attribute(char **attribute, struct bytes value);

#endif
