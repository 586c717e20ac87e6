/* Shared by the parts of INFO: info.c (selection, the server's front), info_data.c (memory,
 * persistence, tiers) and info_stats.c (counters). */
#ifndef BASALT_SERVER_INFO_INTERNAL_H
#define BASALT_SERVER_INFO_INTERNAL_H

#include "codec/buf.h"
#include "server/services.h"

#include <stdbool.h>
#include <stdint.h>

/* Writes the lines of one section. */
typedef void info_section_fn(const struct services *services, struct buf *out);

info_section_fn info_write_memory;
info_section_fn info_write_persistence;
info_section_fn info_write_tiering;
info_section_fn info_write_keyspace;
info_section_fn info_write_stats;
info_section_fn info_write_commandstats;
info_section_fn info_write_errorstats;
info_section_fn info_write_latencystats;
info_section_fn info_write_debug;

static inline void info_u64(struct buf *out, const char *name, uint64_t value)
{
    buf_append_format(out, "%s:%llu\r\n", name, (unsigned long long)value);
}

static inline void info_i64(struct buf *out, const char *name, int64_t value)
{
    buf_append_format(out, "%s:%lld\r\n", name, (long long)value);
}

static inline void info_text(struct buf *out, const char *name, const char *value)
{
    buf_append_format(out, "%s:%s\r\n", name, value);
}

static inline void info_ratio(struct buf *out, const char *name, double value)
{
    buf_append_format(out, "%s:%.2f\r\n", name, value);
}

/* Lines that Redis has, and whose subject does not exist here: `names` ends with NULL. */
void info_zeros(struct buf *out, const char *const *names);
/* `name` with the bytes, and `name`_human with them as people read them ("918.97K"). */
void info_bytes(struct buf *out, const char *name, uint64_t bytes);
void info_bytes_human(struct buf *out, const char *name, uint64_t bytes);

#endif
