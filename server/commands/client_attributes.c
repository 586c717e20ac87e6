#include "server/commands/client_attributes.h"

#include "codec/mem.h"
#include "server/call.h"

bool client_attribute_is_valid(struct bytes value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '!' || value.data[i] > '~')
            return false;
    }
    return true;
}

bool client_check_name(struct call *c, struct bytes name)
{
    if (client_attribute_is_valid(name))
        return true;
    reply_error(c->reply,
                "ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
}

void client_set_attribute(char **attribute, struct bytes value)
{
    mem_free(*attribute);
    *attribute = NULL;
    if (value.len == 0)
        return;
    char *text = mem_alloc(value.len + 1);
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    *attribute = text;
}
