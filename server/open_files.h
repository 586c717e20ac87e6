/* The limit of open files: every client needs one, and so does every file of the cold tier. Main
 * thread. Source: adjustOpenFilesLimit of Redis 7.2. */
#ifndef BASALT_SERVER_OPEN_FILES_H
#define BASALT_SERVER_OPEN_FILES_H

#include "codec/status.h"

struct config;

/* Kept for other things than clients: sockets, logs, the journal. */
#define OPEN_FILES_RESERVED 32
/* What the cold tier may need beside; asked for, but clients are not turned away for it. */
#define OPEN_FILES_COLD 16384

/* Raises the process's limit so that `maxclients` clients and the cold tier's files fit. Where the
 * system does not let it, lowers config->maxclients to what fits, with lines in the log. Returns
 * ST_LIMIT when not even one client would fit. Also makes CONFIG SET maxclients do the same, but
 * refuse a value that does not fit. */
MUST_USE enum status open_files_adjust(struct config *config, struct err *err);

#endif
