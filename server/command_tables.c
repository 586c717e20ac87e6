/* The list of all tables of command rows. */
#include "server/commands/tables.h"

static const struct command *const tables[] = {
    cmd_command_table,
};

struct command_table *command_table_create(void)
{
    return command_table_create_from(tables, sizeof tables / sizeof tables[0]);
}
