/* The rules by which commands of the tool make values: Redis's defaults, and nothing is ever large,
 * so that all of a value stays in RAM. */
#ifndef BASALT_TOOLS_RDB_VALUE_RULES_H
#define BASALT_TOOLS_RDB_VALUE_RULES_H

struct list_rules;

extern const struct list_rules rdb_value_rules;

#endif
