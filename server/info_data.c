/* INFO's sections about data: memory, persistence, tiers, databases. */
#include "server/info_internal.h"

#include "codec/mem.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/memory_report.h"
#include "server/saves.h"
#include "server/scripting.h"
#include "server/server.h"
#include "storage/cold.h"
#include "storage/key_filter.h"
#include "storage/store.h"
#include "storage/table.h"

/* ---- Memory. */

static void write_scripting_memory(const struct services *services, struct buf *out)
{
    struct scripting_stats stats;
    scripting_read_stats(services->scripting, &stats);
    info_u64(out, "used_memory_lua", stats.eval_bytes);
    info_u64(out, "used_memory_vm_eval", stats.eval_bytes);
    info_bytes_human(out, "used_memory_lua_human", stats.eval_bytes);
    info_u64(out, "used_memory_scripts_eval", stats.scripts_bytes);
    info_u64(out, "number_of_cached_scripts", stats.script_count);
    info_u64(out, "number_of_functions", stats.function_count);
    info_u64(out, "number_of_libraries", stats.library_count);
    info_u64(out, "used_memory_vm_functions", stats.functions_vm_bytes);
    info_bytes(out, "used_memory_vm_total", stats.eval_bytes + stats.functions_vm_bytes);
    info_u64(out, "used_memory_functions", stats.functions_bytes);
    info_bytes(out, "used_memory_scripts", stats.scripts_bytes + stats.functions_bytes);
}

/* a beyond b, signed: the resident size may be smaller than what is handed out. */
static void write_excess(struct buf *out, const char *name, uint64_t a, uint64_t b)
{
    info_i64(out, name, (int64_t)(a - b));
}

static void write_fragmentation(const struct memory_report *memory, struct buf *out)
{
    info_ratio(out, "allocator_frag_ratio", memory_report_ratio(memory->active, memory->used));
    write_excess(out, "allocator_frag_bytes", memory->active, memory->used);
    info_ratio(out, "allocator_rss_ratio", memory_report_ratio(memory->resident, memory->active));
    write_excess(out, "allocator_rss_bytes", memory->resident, memory->active);
    info_ratio(out, "rss_overhead_ratio", memory_report_ratio(memory->rss, memory->resident));
    write_excess(out, "rss_overhead_bytes", memory->rss, memory->resident);
    info_ratio(out, "mem_fragmentation_ratio", memory_report_ratio(memory->rss, memory->used));
    write_excess(out, "mem_fragmentation_bytes", memory->rss, memory->used);
}

static void write_memory_parts(const struct services *services, const struct memory_report *memory,
                               struct buf *out)
{
    static const char *const absent[] = {"mem_not_counted_for_evict", "mem_replication_backlog",
                                         "mem_total_replication_buffers", NULL};
    info_zeros(out, absent);
    info_u64(out, "mem_clients_slaves", memory->replicas);
    info_u64(out, "mem_clients_normal", memory->clients);
    info_u64(out, "mem_cluster_links", 0);
    info_u64(out, "mem_aof_buffer", memory->journal);
    info_text(out, "mem_allocator", mem_allocator_name());
    info_u64(out, "active_defrag_running", 0);
    uint64_t pending, freed;
    store_read_reclaimed(services->store, &pending, &freed);
    info_u64(out, "lazyfree_pending_objects", pending);
    info_u64(out, "lazyfreed_objects", freed);
}

void info_write_memory(const struct services *services, struct buf *out)
{
    const struct config *config = services->config;
    struct memory_report memory;
    memory_report_read(services, &memory);
    info_bytes(out, "used_memory", memory.used);
    info_bytes(out, "used_memory_rss", memory.rss);
    info_bytes(out, "used_memory_peak", memory.peak);
    buf_append_format(out, "used_memory_peak_perc:%.2f%%\r\n",
                      memory_report_ratio(memory.used, memory.peak) * 100);
    info_u64(out, "used_memory_overhead", memory_report_overhead(&memory));
    info_u64(out, "used_memory_startup", memory.startup);
    info_u64(out, "used_memory_dataset", memory.hot);
    buf_append_format(out, "used_memory_dataset_perc:%.2f%%\r\n",
                      memory_report_dataset_percent(&memory));
    info_u64(out, "allocator_allocated", memory.used);
    info_u64(out, "allocator_active", memory.active);
    info_u64(out, "allocator_resident", memory.resident);
    info_bytes(out, "total_system_memory", memory.system);
    write_scripting_memory(services, out);
    info_bytes(out, "maxmemory", config->maxmemory);
    info_text(out, "maxmemory_policy", config_maxmemory_policy_name(config->maxmemory_policy));
    write_fragmentation(&memory, out);
    write_memory_parts(services, &memory, out);
}

/* ---- Persistence. The journal is what Redis calls the append-only file. Nothing forks. */

static void write_snapshots(const struct services *services, struct buf *out)
{
    static const char *const absent[] = {"async_loading", "current_cow_peak", "current_cow_size",
                                         "current_cow_size_age", NULL};
    struct server_facts facts;
    struct saves_stats saves;
    server_read_facts(services->server, &facts);
    saves_read_stats(services->saves, &saves);

    info_u64(out, "loading", facts.loading);
    info_zeros(out, absent);
    info_ratio(out, "current_fork_perc", 0);
    info_u64(out, "current_save_keys_processed", saves.keys_done);
    info_u64(out, "current_save_keys_total", saves.keys_total);
    info_u64(out, "rdb_changes_since_last_save", saves.changes);
    info_u64(out, "rdb_bgsave_in_progress", saves.running);
    info_i64(out, "rdb_last_save_time", saves.last_good_ms / 1000);
    info_text(out, "rdb_last_bgsave_status", saves.last_was_good ? "ok" : "err");
    info_i64(out, "rdb_last_bgsave_time_sec",
             saves.last_took_ms < 0 ? -1 : saves.last_took_ms / 1000);
    info_i64(out, "rdb_current_bgsave_time_sec",
             saves.running_ms < 0 ? -1 : saves.running_ms / 1000);
    info_u64(out, "rdb_saves", saves.count);
    info_u64(out, "rdb_last_cow_size", 0);
    info_u64(out, "rdb_last_load_keys_expired", 0);
    info_u64(out, "rdb_last_load_keys_loaded", 0);
}

static void write_append_only(const struct journal_stats *journal, struct buf *out)
{
    static const char *const no_rewrite[] = {"aof_rewrite_in_progress", "aof_rewrite_scheduled",
                                             NULL};
    static const char *const no_fork[] = {"aof_last_cow_size", "module_fork_in_progress",
                                          "module_fork_last_cow_size", NULL};
    info_u64(out, "aof_enabled", 1);
    info_zeros(out, no_rewrite);
    info_i64(out, "aof_last_rewrite_time_sec", -1);
    info_i64(out, "aof_current_rewrite_time_sec", -1);
    info_text(out, "aof_last_bgrewrite_status", "ok");
    info_u64(out, "aof_rewrites", 0);
    info_u64(out, "aof_rewrites_consecutive_failures", 0);
    info_text(out, "aof_last_write_status", journal->failed ? "err" : "ok");
    info_zeros(out, no_fork);
    info_u64(out, "aof_current_size", journal->disk_bytes);
    info_u64(out, "aof_base_size", 0);
    info_u64(out, "aof_pending_rewrite", 0);
    info_u64(out, "aof_buffer_length", journal->end - journal->written);
    info_u64(out, "aof_pending_bio_fsync", journal->durable < journal->written);
    info_u64(out, "aof_delayed_fsync", 0);
}

static void write_archive(const struct journal_stats *journal, struct buf *out)
{
    info_u64(out, "journal_archived_segments", journal->archive_count);
    info_u64(out, "journal_archived_bytes", journal->archive_bytes);
    info_u64(out, "journal_archived_first_offset", journal->archive_first_offset);
    info_u64(out, "journal_archive_pending_segments", journal->archive_waiting);
    info_text(out, "journal_archive_status", journal->archive_failed ? "err" : "ok");
    info_u64(out, "journal_archive_failures", journal->archive_failures);
}

static void write_loading(const struct services *services, struct buf *out)
{
    struct server_facts facts;
    server_read_facts(services->server, &facts);
    if (!facts.loading)
        return;
    uint64_t done = facts.loading_bytes_done, total = facts.loading_bytes_total;
    int64_t elapsed = (exec_now_ms(services->exec) - facts.loading_started_ms) / 1000;
    info_i64(out, "loading_start_time", facts.loading_started_ms / 1000);
    info_u64(out, "loading_total_bytes", total);
    info_u64(out, "loading_rdb_used_mem", 0);
    info_u64(out, "loading_loaded_bytes", done);
    info_ratio(out, "loading_loaded_perc", memory_report_ratio(done, total) * 100);
    info_i64(out, "loading_eta_seconds",
             elapsed <= 0 ? 1 : (int64_t)((uint64_t)elapsed * (total - done) / (done + 1)));
}

void info_write_persistence(const struct services *services, struct buf *out)
{
    struct journal_stats journal;
    journal_read_stats(services->journal, &journal);
    write_snapshots(services, out);
    write_append_only(&journal, out);
    write_archive(&journal, out);
    write_loading(services, out);
}

/* ---- Tiering. */

static void write_hot(const struct services *services, struct buf *out)
{
    struct evict_stats evict;
    struct cut_stats cut;
    struct exec_stats exec;
    evict_read_stats(store_evict(services->store), &evict);
    cut_read_stats(store_cut(services->store), &cut);
    exec_read_stats(services->exec, &exec);
    const struct key_filter *filter = ks_key_filter(services->ks);
    uint64_t objects = 0, cold = 0, unresolved = 0, filling = 0;
    for (uint32_t i = 0; i < ks_db_count(services->ks); i++) {
        const struct db *db = ks_db(services->ks, i);
        objects += db->resident;
        cold += db->cold_count;
        unresolved += db->unresolved;
        filling += db->filtered_to < TABLE_POSITION_LIMIT;
    }
    info_u64(out, "hot_bytes", ks_bytes(services->ks));
    info_u64(out, "hot_used_bytes", evict_used_bytes(store_evict(services->store)));
    info_u64(out, "hot_bytes_max", config_effective_maxmemory(services->config));
    info_u64(out, "hot_objects", objects);
    info_u64(out, "cold_keys", cold);
    info_u64(out, "unresolved_keys", unresolved);
    info_u64(out, "key_filter_bytes", key_filter_bytes(filter));
    info_u64(out, "key_filter_entries", key_filter_count(filter));
    info_u64(out, "key_filter_filling", filling);
    info_u64(out, "key_filter_cut_short", key_filter_is_cut_short(filter));
    info_u64(out, "dirty_bytes", ks_dirty_bytes(services->ks));
    info_u64(out, "dirty_bytes_max", cut.dirty_bytes_max);
    info_u64(out, "demoted_keys", evict.demoted);
    info_u64(out, "demoted_probation_keys", evict.demoted_probation);
    info_u64(out, "demoted_piece_bytes", evict.piece_bytes);
    info_u64(out, "demotion_stalls", evict.no_victim);
    info_u64(out, "cold_walks_synchronous", exec.sync_walks);
    info_u64(out, "requests_waited_for_disk", exec.suspended_total);
    info_u64(out, "requests_waiting_for_disk", exec.suspended_now);
    info_u64(out, "writes_delayed", exec.throttled_total);
    info_u64(out, "writes_delayed_now", exec.throttled_now);
    info_u64(out, "writes_delayed_usec", exec.throttled_us);
    info_u64(out, "read_errors", exec.io_errors);
}

static void write_loads(const struct services *services, struct buf *out)
{
    struct loader_stats loads;
    loader_read_stats(store_loader(services->store), &loads);
    info_u64(out, "cold_loads", loads.loads);
    info_u64(out, "cold_part_loads", loads.part_loads);
    info_u64(out, "cold_chunk_loads", loads.chunk_loads);
    info_u64(out, "cold_loads_pending", loads.pending);
    info_u64(out, "cold_loads_joined", loads.joined);
    info_u64(out, "cold_loads_absent", loads.absent);
    info_u64(out, "cold_loads_discarded", loads.discarded);
    info_u64(out, "cold_loads_synchronous", loads.synchronous);
    info_u64(out, "cold_load_errors", loads.errors);
    info_u64(out, "cold_filter_negatives", loads.filter_negatives);
    info_u64(out, "cold_block_cache_hits", loads.inline_hits);
    info_u64(out, "cold_overwrites_resolved", loads.resolved);
    info_u64(out, "cold_load_usec_p50", loads.latency_us_p50);
    info_u64(out, "cold_load_usec_p99", loads.latency_us_p99);
    info_u64(out, "cold_load_usec_max", loads.latency_us_max);
}

static void write_cuts(const struct services *services, struct buf *out)
{
    struct cut_stats cut;
    cut_read_stats(store_cut(services->store), &cut);
    info_u64(out, "cut_count", cut.count);
    info_u64(out, "cut_running", cut.running);
    info_text(out, "cut_status", cut.failed ? "err" : "ok");
    info_u64(out, "cut_failures", cut.failures);
    info_u64(out, "cut_offset", cut.offset);
    info_u64(out, "cut_objects", cut.objects);
    info_u64(out, "cut_bytes", cut.bytes);
    info_u64(out, "cut_batch_bytes", cut.batch_bytes);
    info_u64(out, "cut_last_usec", cut.duration_us_last);
    info_u64(out, "cut_max_usec", cut.duration_us_max);
    info_u64(out, "cut_last_write_usec", cut.write_us_last);
    info_i64(out, "cut_last_time", cut.last_applied_ms / 1000);
}

static void write_journal(const struct services *services, struct buf *out)
{
    struct journal_stats journal;
    journal_read_stats(services->journal, &journal);
    info_u64(out, "journal_end", journal.end);
    info_u64(out, "journal_written", journal.written);
    info_u64(out, "journal_durable", journal.durable);
    info_u64(out, "journal_persisted", journal.released);
    info_u64(out, "journal_first_offset", journal.first_offset);
    info_u64(out, "journal_segments", journal.segment_count);
    info_u64(out, "journal_disk_bytes", journal.disk_bytes);
    info_u64(out, "journal_memory_bytes", journal.memory_bytes);
    info_u64(out, "journal_written_bytes", journal.written_bytes);
    info_u64(out, "journal_writes", journal.write_count);
    info_u64(out, "journal_syncs", journal.sync_count);
    info_u64(out, "journal_syncs_gathered", journal.gather_count);
    info_u64(out, "journal_syncs_gathered_in_vain", journal.gather_misses);
    info_u64(out, "journal_sync_last_usec", journal.sync_us_last);
    info_u64(out, "journal_sync_max_usec", journal.sync_us_max);
    info_text(out, "journal_status", journal.failed ? "err" : "ok");
    info_u64(out, "journal_failures", journal.failure_count);
    info_u64(out, "journal_recoveries", journal.recovery_count);
}

static void write_levels(const struct cold_family_stats *total, struct buf *out)
{
    for (size_t i = 0; i < COLD_LEVELS_MAX; i++)
        if (total->levels[i].files > 0)
            buf_append_format(out, "rocksdb_level%zu:files=%llu,bytes=%llu\r\n", i,
                              (unsigned long long)total->levels[i].files,
                              (unsigned long long)total->levels[i].bytes);
}

static void write_rocksdb(const struct services *services, struct buf *out)
{
    struct cold_stats cold;
    cold_read_stats(services->cold, &cold);
    const struct cold_family_stats *total = &cold.total;
    const char *stall = cold.write_stopped             ? "stopped"
                        : cold.delayed_write_rate != 0 ? "delayed"
                                                       : "none";
    info_u64(out, "rocksdb_memory_bytes_max", cold_memory_bound(services->cold));
    info_u64(out, "rocksdb_block_cache_bytes", cold.block_cache_bytes);
    info_u64(out, "rocksdb_block_cache_bytes_max", cold.block_cache_capacity);
    info_u64(out, "rocksdb_memtable_bytes", total->memtable_bytes);
    info_u64(out, "rocksdb_filter_index_bytes", total->table_reader_bytes);
    info_u64(out, "rocksdb_keys_estimate", total->keys_estimate);
    info_u64(out, "rocksdb_sst_files", total->sst_files);
    info_u64(out, "rocksdb_sst_bytes", total->sst_bytes);
    info_u64(out, "rocksdb_live_bytes_estimate", total->live_bytes_estimate);
    info_text(out, "rocksdb_write_stall", stall);
    info_u64(out, "rocksdb_delayed_write_rate", cold.delayed_write_rate);
    info_u64(out, "rocksdb_compaction_pending_bytes", total->pending_compaction_bytes);
    info_u64(out, "rocksdb_compactions_running", cold.compactions_running);
    info_u64(out, "rocksdb_flushes_running", cold.flushes_running);
    info_u64(out, "rocksdb_background_errors", cold.background_errors);
    info_u64(out, "rocksdb_writes", cold.writes);
    info_u64(out, "rocksdb_write_bytes", cold.write_bytes);
    write_levels(total, out);
}

static void write_background(const struct services *services, struct buf *out)
{
    struct expire_stats expire;
    struct reap_stats reap;
    expire_read_stats(store_expire(services->store), &expire);
    reap_read_stats(store_reap(services->store), &reap);
    info_u64(out, "expired_from_ram", expire.from_ram);
    info_u64(out, "expired_from_disk", expire.from_disk);
    info_u64(out, "expiry_entries_moved", expire.rearmed);
    info_u64(out, "expiry_entries_stale", expire.stale);
    info_i64(out, "expiry_lateness_msec", expire.lateness_ms_last);
    info_i64(out, "expiry_lateness_max_msec", expire.lateness_ms_max);
    info_u64(out, "reaped_databases", reap.databases);
    info_u64(out, "reaped_objects", reap.objects);
    info_u64(out, "reap_errors", reap.errors);
}

void info_write_tiering(const struct services *services, struct buf *out)
{
    write_hot(services, out);
    write_loads(services, out);
    write_cuts(services, out);
    write_journal(services, out);
    write_rocksdb(services, out);
    write_background(services, out);
}

/* ---- Keyspace. */

void info_write_keyspace(const struct services *services, struct buf *out)
{
    for (uint32_t i = 0; i < ks_db_count(services->ks); i++) {
        const struct db *db = ks_db(services->ks, i);
        if (db_size(db) == 0)
            continue;
        uint64_t expires = db->resident_expires + db->cold_expires;
        buf_append_format(out, "db%u:keys=%llu,expires=%llu,avg_ttl=%lld\r\n", i,
                          (unsigned long long)db_size(db), (unsigned long long)expires,
                          (long long)db->ttl_ms_average);
    }
}
