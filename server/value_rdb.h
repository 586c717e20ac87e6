/* A value as RDB files and DUMP have it. Main thread. */
#ifndef BASALT_SERVER_VALUE_RDB_H
#define BASALT_SERVER_VALUE_RDB_H

#include <stdbool.h>

struct object;
struct rdb_writer;

/* Puts what stands behind the type and the key. All of the value is in RAM. False: there is no
 * encoder for values of this type. */
bool value_rdb_put(struct rdb_writer *writer, const struct object *o);

#endif
