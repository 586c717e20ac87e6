/* INFO: a table of sections, each of which writes its `name:value` lines from the server's parts.
 * Main thread. Source: INFO of Redis 7.2 for sections, names and formats; `# Tiering` is ours. */
#ifndef BASALT_SERVER_INFO_H
#define BASALT_SERVER_INFO_H

#include "codec/buf.h"
#include "codec/bytes.h"

struct services;

/* Appends the sections that `names` select: section names in any case, "default", "all",
 * "everything"; none at all means "default". Unknown names select nothing. */
void info_write(const struct services *services, const struct bytes *names, size_t name_count,
                struct buf *out);

#endif
