/* Shared by the parts of sets: set.c, set_record.c. */
#ifndef BASALT_STORAGE_TYPES_SET_INTERNAL_H
#define BASALT_STORAGE_TYPES_SET_INTERNAL_H

#include "storage/types/set.h"

struct members *set_init_table(struct object *o, const struct value_rules *rules);

#endif
