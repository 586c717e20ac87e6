/* Import at the start: a server on a directory without a dataset of its own, but with Redis's files
 * (`dbfilename`, or an append-only directory of Redis 7), imports them first. Once there is a
 * dataset it never does so again; an import that was interrupted is begun anew. */
#ifndef BASALT_SERVER_IMPORT_START_H
#define BASALT_SERVER_IMPORT_START_H

#include "codec/status.h"

struct config;
struct env;

/* Before the store is opened. Blocks; says in the log how far it has come. ST_OK, also when there
 * is nothing to import; else `err` says why the server cannot start. */
MUST_USE enum status import_at_start(struct env *env, const struct config *config, struct err *err);

#endif
