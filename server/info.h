/* INFO: a table of sections, each of which writes its `name:value` lines from the server's parts.
 * Main thread. Source: INFO of Redis 7.2 for sections, names and formats; `# Tiering` is Basalt's.
 */
#ifndef BASALT_SERVER_INFO_H
#define BASALT_SERVER_INFO_H

#include "codec/buf.h"
#include "codec/bytes.h"

struct info;
struct services;

/* Notes what INFO tells of this run: its random id, when it began and with how much memory. */
struct info *info_create(const struct services *services);
void info_destroy(struct info *info);

/* Keeps the peak of used memory; call about once per second. */
void info_cron(struct info *info);
/* 40 hexadecimal digits. */
const char *info_run_id(const struct info *info);
/* Highest memory in use that info_cron or info_write have seen, and that of the start. */
uint64_t info_peak_memory(const struct info *info);
uint64_t info_startup_memory(const struct info *info);

/* Appends the sections that `names` select: section names in any case, "default", "all",
 * "everything"; none means "default". Unknown names select nothing. */
void info_write(struct info *info, const struct bytes *names, size_t name_count, struct buf *out);

/* Bytes as people read them: "918.97K". */
#define INFO_HUMAN_BYTES_MAX 32
void info_format_human(uint64_t bytes, char out[INFO_HUMAN_BYTES_MAX]);

#endif
