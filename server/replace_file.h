/* Replaces a small file (settings, users) so that it is never half written, and durably. */
#ifndef BASALT_SERVER_REPLACE_FILE_H
#define BASALT_SERVER_REPLACE_FILE_H

#include "codec/bytes.h"
#include "codec/status.h"

/* The new file has the permissions of the old one, which may keep a password from others. ST_IO:
 * the old one is untouched. Blocks until it is on disk. */
MUST_USE enum status replace_file(const char *path, struct bytes content, struct err *err);

#endif
