#include "server/memory_report.h"

#include "codec/mem.h"
#include "server/config.h"
#include "server/conn.h"
#include "server/services.h"
#include "server/stats.h"
#include "storage/cold.h"
#include "storage/cut.h"
#include "storage/journal.h"
#include "storage/keyspace.h"
#include "storage/store.h"

#include <stdio.h>
#include <unistd.h>

#define SAMPLE_PERIOD_MS 1000

/* ---- Reading. */

/* The second number of /proc/self/statm is the resident size in pages; 0 where there is none. */
static uint64_t read_rss(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    unsigned long long total = 0, resident = 0;
    int count = fscanf(file, "%llu %llu", &total, &resident);
    (void)fclose(file);
    return count == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void note_used(struct stats *stats, uint64_t used)
{
    if (stats->memory_startup == 0)
        stats->memory_startup = used;
    if (used > stats->memory_peak)
        stats->memory_peak = used;
}

void memory_report_sample(struct stats *stats, int64_t mono_ms)
{
    struct mem_stats allocator;
    if (stats->memory_startup != 0 && mono_ms - stats->memory_sampled_ms < SAMPLE_PERIOD_MS)
        return;
    stats->memory_sampled_ms = mono_ms;
    mem_read_stats(&allocator);
    note_used(stats, allocator.allocated);
}

static void read_keys(struct keyspace *ks, struct memory_report *out)
{
    for (uint32_t i = 0; i < ks_db_count(ks); i++) {
        const struct db *db = ks_db(ks, i);
        out->hot_objects += db->resident;
        out->keys += db_size(db);
    }
}

void memory_report_read(const struct services *services, struct memory_report *out)
{
    struct mem_stats allocator;
    struct cold_stats cold;
    struct journal_stats journal;
    struct conns_stats conns;
    mem_read_stats(&allocator);
    cold_read_stats(services->cold, &cold);
    journal_read_stats(services->journal, &journal);
    conns_read_stats(services->conns, &conns);
    note_used(services->stats, allocator.allocated);

    *out = (struct memory_report){
        .used = allocator.allocated,
        .active = allocator.active,
        .resident = allocator.resident,
        .rss = read_rss(),
        .startup = services->stats->memory_startup,
        .peak = services->stats->memory_peak,
        .system = config_memory_available(),
        .hot = ks_bytes(services->ks),
        .dirty = ks_dirty_bytes(services->ks),
        .cold = cold.block_cache_bytes + cold.total.memtable_bytes + cold.total.table_reader_bytes,
        .journal = journal.memory_bytes,
        .clients = conns.memory,
        .replicas = conns.memory_replicas,
    };
    read_keys(services->ks, out);
}

uint64_t memory_report_overhead(const struct memory_report *report)
{
    return report->used > report->hot ? report->used - report->hot : 0;
}

double memory_report_dataset_percent(const struct memory_report *report)
{
    uint64_t grown = report->used > report->startup ? report->used - report->startup : 1;
    double percent = (double)report->hot * 100 / (double)grown;
    return percent > 100 ? 100 : percent;
}

double memory_report_ratio(uint64_t a, uint64_t b)
{
    return b == 0 ? 0 : (double)a / (double)b;
}

/* ---- Diagnosing: a table of findings, each with its advice. */

#define ALMOST_EMPTY_BYTES      ((uint64_t)5 << 20)
#define WASTE_BYTES_MIN         ((uint64_t)10 << 20) /* less is not worth a word */
#define PEAK_RATIO_MAX          1.5
#define RSS_RATIO_MAX           1.4
#define FRAGMENTATION_RATIO_MAX 1.1
#define CLIENT_BYTES_MAX        ((uint64_t)200 << 10) /* mean per connection */

struct patient {
    struct memory_report memory;
    struct cut_stats cut;
    uint64_t clients;
    uint64_t hot_limit;
};

static bool wastes(uint64_t more, uint64_t less, double ratio)
{
    return more > less + WASTE_BYTES_MIN && memory_report_ratio(more, less) > ratio;
}

static bool had_peak(const struct patient *p)
{
    return memory_report_ratio(p->memory.peak, p->memory.used) > PEAK_RATIO_MAX;
}

static bool is_bloated(const struct patient *p)
{
    return wastes(p->memory.rss, p->memory.used, RSS_RATIO_MAX);
}

static bool is_fragmented(const struct patient *p)
{
    return wastes(p->memory.active, p->memory.used, FRAGMENTATION_RATIO_MAX);
}

static bool has_fat_clients(const struct patient *p)
{
    return p->clients > 0 && p->memory.clients / p->clients > CLIENT_BYTES_MAX;
}

static bool has_dirty_backlog(const struct patient *p)
{
    return p->cut.dirty_bytes_max > 0 && p->memory.dirty > p->cut.dirty_bytes_max;
}

static bool is_cache_larger_than_data(const struct patient *p)
{
    return p->memory.cold > p->hot_limit + WASTE_BYTES_MIN;
}

static const struct finding {
    bool (*holds)(const struct patient *p);
    const char *advice;
} findings[] = {
    {had_peak,
     "Peak: at some time the server used more than 1.5 times what it uses now. The allocator keeps "
     "part of that. It will be used again; to give it back to the system now, try MEMORY PURGE."},
    {is_bloated,
     "Resident size: the process takes over 1.4 times what the allocator has handed out. After a "
     "peak that is to be expected; otherwise see the lines on fragmentation."},
    {is_fragmented,
     "Fragmentation: pages of the allocator are over 10 % larger than what is in them. Values that "
     "change their sizes all the time do that; demotion and MEMORY PURGE make it better."},
    {has_fat_clients,
     "Clients: connections hold over 200 kB each on average. Look for large omem and qbuf in "
     "CLIENT LIST, and at client-output-buffer-limit."},
    {has_dirty_backlog,
     "Write-behind: more data wait for the disk than dirty-limit allows, and writers are being "
     "slowed. See cut_* and rocksdb_* in INFO tiering; the disk may be too slow for this load."},
    {is_cache_larger_than_data,
     "Balance: RocksDB may take more memory than the hot tier. A key costs less time in the hot "
     "tier than in block-cache-size; consider giving maxmemory the larger part."},
};

static void write_advice(const struct patient *patient, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof findings / sizeof findings[0]; i++) {
        if (!findings[i].holds(patient))
            continue;
        buf_append_format(out, "%s * %s\n", count == 0 ? "Some things could be better:\n\n" : "\n",
                          findings[i].advice);
        count++;
    }
    if (count == 0)
        buf_append_text(out, "Hi, no memory issue was found in this instance.\n");
}

void memory_report_diagnose(const struct services *services, struct buf *out)
{
    struct patient patient = {
        .clients = conns_count(services->conns),
        .hot_limit = config_effective_maxmemory(services->config),
    };
    memory_report_read(services, &patient.memory);
    cut_read_stats(store_cut(services->store), &patient.cut);
    if (patient.memory.used < ALMOST_EMPTY_BYTES)
        buf_append_text(out, "Hi, this instance is empty or uses very little memory: there is "
                             "nothing to tell yet.\n");
    else
        write_advice(&patient, out);
}
