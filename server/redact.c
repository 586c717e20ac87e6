#include "server/redact.h"

#include "server/command.h"
#include "server/config.h"

#include <string.h>

enum kind { NOTHING, AUTH, HELLO, CONFIG_SET, ACL_RULES, MIGRATE };

static enum kind kind_of(const char *name)
{
    static const struct {
        const char *name;
        enum kind kind;
    } kinds[] = {{"auth", AUTH},
                 {"hello", HELLO},
                 {"config|set", CONFIG_SET},
                 {"acl|setuser", ACL_RULES},
                 {"migrate", MIGRATE}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(name, kinds[i].name) == 0)
            return kinds[i].kind;
    return NOTHING;
}

void redact_init(struct redact *redact, const struct config *config, const struct command *command)
{
    *redact = (struct redact){.config = config, .kind = (int)kind_of(command->name)};
}

static bool is_secret(struct redact *redact, struct bytes previous, struct bytes arg, int index)
{
    if (redact->secrets_left > 0) {
        redact->secrets_left--;
        return true;
    }
    switch ((enum kind)redact->kind) {
    case NOTHING:
        break;
    case AUTH:
        return index >= 1;
    case ACL_RULES:
        return index >= 2;
    case CONFIG_SET:
        return index >= 3 && index % 2 != 0 && config_is_sensitive(redact->config, previous);
    case HELLO:
        if (index >= 2 && bytes_equal_nocase(arg, "auth"))
            redact->secrets_left = 2;
        break;
    case MIGRATE:
        if (index >= 6 && bytes_equal_nocase(arg, "auth"))
            redact->secrets_left = 1;
        else if (index >= 6 && bytes_equal_nocase(arg, "auth2"))
            redact->secrets_left = 2;
        break;
    }
    return false;
}

struct bytes redact_next(struct redact *redact, struct bytes previous, struct bytes arg, int index)
{
    return is_secret(redact, previous, arg, index) ? bytes_text(REDACTED_TEXT) : arg;
}
