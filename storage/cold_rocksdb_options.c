/* The options that RocksDB runs with, and why.
 *
 * The load they are made for: one thread writes batches of up to some hundred MB, sorted by key,
 * one batch every few seconds; many threads read single keys that are mostly in no cache; keys are
 * hashes, so that every batch touches the whole key range. Figures: RocksDB 7.8.3, 2 cores of an
 * EPYC server.
 *
 * - Memory. Memtables are bounded by db_write_buffer_size over all families, each family's own
 * limit being half of that, so that one busy family flushes while it fills anew. The block cache is
 * small: the hot tier is the cache. Filters and indexes stay on the heap (2 to 4 bytes a record)
 * unless bounded_metadata asks for them in the block cache.
 * - Reads. max_open_files = -1 keeps every table open: without it this version answers block-cache
 *   reads of closed tables with "present, empty". 15 filter bits, since an absent key is asked for
 * in several families. Memtables have filters too (a skip list walk costs 1.5 to 3 us).
 * - The write-ahead log is bounded to twice the memtables: that bounds the replay at open, and
 * makes families with few writes (meta) let go of old log files.
 * - Compaction. Every batch covers all keys, so each merge rewrites the next level whole: the
 * larger level 0 is by then, the less is rewritten in all. Eight files and a first level of 2
 * GiB: 5.0 to 5.5 bytes written a user byte (1 of them log, 1 flush) for a random load that ends at
 * four times the first level; four files: 6.5 to 7.5 (2.5 M records of 400 random bytes, with all
 * sizes an eighth). While little is written, cold_tend lets two files start a merge.
 * - Flushes and compactions write past the page cache where the file system can: it saves 0.8 us of
 *   4.4 a record of 400 bytes, and the cache keeps what is read. direct_io is for the reads.
 * - Compaction threads keep normal priority: a thread preempted at low priority while it holds
 *   RocksDB's mutex would hold up the main thread, which takes that mutex at times. */
#include "storage/cold_rocksdb_internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/check.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)

#define BLOCK_CACHE_BYTES_DEFAULT  (64 * MIB)
#define WRITE_BUFFER_BYTES_DEFAULT (128 * MIB)
#define BACKGROUND_JOBS_DEFAULT    2

/* One block is one disk page: a cold read wants 400 bytes of it. */
#define BLOCK_BYTES          (4 * KIB)
#define METADATA_BLOCK_BYTES (4 * KIB)
#define FILTER_BITS_PER_KEY  15.0
/* Of a family's memtable limit. 64 MiB of 100-byte records: 25 bits a key. */
#define MEMTABLE_FILTER_RATIO 0.03
#define CHECKSUM_XXH3         4 /* CRC32C is in software in this build */
#define FORMAT_VERSION        5

#define MEMTABLES_MAX         3 /* per family: one filling, the others being flushed */
#define L0_SLOWDOWN_FILES     28
#define L0_STOP_FILES         44
#define TABLE_FILE_BYTES      (64 * MIB)
#define LEVEL_BASE_BYTES      (2048 * MIB)
#define LEVEL_MULTIPLIER      10.0
#define SYNC_CHUNK_BYTES      MIB
#define READAHEAD_BYTES       (2 * MIB)
#define INFO_LOG_BYTES        (8 * MIB)
#define INFO_LOG_FILES        4
#define INFO_LOG_LEVEL_FATAL  4
#define MANIFEST_BYTES        (64 * MIB)
#define ZSTD_DICTIONARY_BYTES 16384

/* Files in which half of any so many entries in a row are deletions are compacted early. */
#define DELETION_WINDOW         (128 * KIB)
#define DELETION_WINDOW_EXPIRES (4 * KIB)

/* True when files of `dir` can be opened past the page cache (not all file systems can). */
static bool supports_direct_io(const char *dir)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/.direct-io-probe", dir);
    buf_append_byte(&path, 0);
    const char *name = (const char *)path.data;
    int fd = open(name, O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
    bool supported = fd >= 0;
    if (fd >= 0)
        close(fd);
    (void)unlink(name);
    buf_deinit(&path);
    return supported;
}

/* Options that the C interface has no setter for. */
static enum status apply_text_options(rocksdb_options_t **options, const char *text,
                                      struct err *err)
{
    rocksdb_options_t *changed = rocksdb_options_create_copy(*options);
    char *error = NULL;
    rocksdb_get_options_from_string(*options, text, changed, &error);
    rocksdb_options_destroy(*options);
    *options = changed;
    return error == NULL ? ST_OK : cold_error_take(error, "RocksDB options", err);
}

/* Whether the library was built with its assertions, as Debian's is: then it has the hooks of its
 * own tests as well. */
static bool has_assertions(void)
{
    return dlsym(RTLD_DEFAULT, "_ZN7rocksdb9SyncPoint11GetInstanceEv") != NULL;
}

static void set_info_log(rocksdb_options_t *db)
{
    rocksdb_options_set_max_log_file_size(db, INFO_LOG_BYTES);
    rocksdb_options_set_keep_log_file_num(db, INFO_LOG_FILES);
    /* An assertion of its log writer ends the process with the first line after one that could not
     * be written: on a full disk, of all times. RocksDB cannot be made to do without a log, only to
     * be silent in it once it is open. */
    if (has_assertions())
        rocksdb_options_set_info_log_level(db, INFO_LOG_LEVEL_FATAL);
}

static void set_files_and_logs(rocksdb_options_t *db, const struct cold_options *options)
{
    rocksdb_options_set_create_if_missing(db, !options->must_exist && !options->read_only);
    rocksdb_options_set_create_missing_column_families(db, !options->read_only);
    rocksdb_options_set_max_open_files(db, -1);
    rocksdb_options_set_paranoid_checks(db, 1);
    rocksdb_options_set_skip_stats_update_on_db_open(db, 1);
    set_info_log(db);
    rocksdb_options_set_stats_dump_period_sec(db, 0);
    rocksdb_options_set_stats_persist_period_sec(db, 0);
    rocksdb_options_set_max_manifest_file_size(db, MANIFEST_BYTES);
    rocksdb_options_set_wal_recovery_mode(db, rocksdb_point_in_time_recovery);
    rocksdb_options_set_bytes_per_sync(db, SYNC_CHUNK_BYTES);
    rocksdb_options_set_wal_bytes_per_sync(db, SYNC_CHUNK_BYTES);
    rocksdb_options_compaction_readahead_size(db, READAHEAD_BYTES);
    rocksdb_options_set_advise_random_on_open(db, 1);
    if (!options->read_only && supports_direct_io(options->dir)) {
        rocksdb_options_set_use_direct_io_for_flush_and_compaction(db, 1);
        rocksdb_options_set_use_direct_reads(db, options->direct_io);
    }
}

static enum status set_db_options(struct cold_setup *setup, const struct cold_options *options,
                                  struct err *err)
{
    set_files_and_logs(setup->db, options);
    rocksdb_options_set_db_write_buffer_size(setup->db, setup->write_buffer_bytes);
    rocksdb_options_set_max_total_wal_size(setup->db, 2 * setup->write_buffer_bytes);
    /* One writer: no need for inserts that tolerate others. */
    rocksdb_options_set_allow_concurrent_memtable_write(setup->db, 0);
    rocksdb_options_set_enable_write_thread_adaptive_yield(setup->db, 0);
    rocksdb_options_set_max_background_compactions(setup->db, (int)setup->background_jobs);
    rocksdb_options_set_max_background_flushes(setup->db, 1);
    return apply_text_options(&setup->db, "delayed_write_rate=67108864", err);
}

static rocksdb_block_based_table_options_t *create_table_options(const struct cold_setup *setup,
                                                                 const struct cold_options *options,
                                                                 enum family family)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_format_version(table, FORMAT_VERSION);
    rocksdb_block_based_options_set_checksum(table, CHECKSUM_XXH3);
    rocksdb_block_based_options_set_block_cache(table, setup->block_cache);
    /* Expiry hints are only ever walked in order: a filter would be asked nothing. */
    if (family != FAMILY_EXPIRES)
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(FILTER_BITS_PER_KEY));
    if (options->bounded_metadata) {
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
        rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
        rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
        rocksdb_block_based_options_set_index_type(
            table, rocksdb_block_based_table_index_type_two_level_index_search);
        rocksdb_block_based_options_set_partition_filters(table, 1);
        rocksdb_block_based_options_set_metadata_block_size(table, METADATA_BLOCK_BYTES);
    }
    return table;
}

static void set_memtable_options(rocksdb_options_t *options, uint64_t write_buffer_bytes,
                                 enum family family)
{
    uint64_t share = family == FAMILY_META ? 16 : family == FAMILY_EXPIRES ? 4 : 2;
    rocksdb_options_set_write_buffer_size(options, write_buffer_bytes / share);
    rocksdb_options_set_max_write_buffer_number(options, MEMTABLES_MAX);
    if (family != FAMILY_META && family != FAMILY_EXPIRES) {
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, MEMTABLE_FILTER_RATIO);
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
    }
}

static void set_compaction_options(rocksdb_options_t *options, enum family family)
{
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_level0_file_num_compaction_trigger(options, COLD_L0_FILES_LOADED);
    rocksdb_options_set_level0_slowdown_writes_trigger(options, L0_SLOWDOWN_FILES);
    rocksdb_options_set_level0_stop_writes_trigger(options, L0_STOP_FILES);
    rocksdb_options_set_target_file_size_base(options, TABLE_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(options, LEVEL_BASE_BYTES);
    rocksdb_options_set_max_bytes_for_level_multiplier(options, LEVEL_MULTIPLIER);
    size_t window = family == FAMILY_EXPIRES ? DELETION_WINDOW_EXPIRES : DELETION_WINDOW;
    rocksdb_options_add_compact_on_deletion_collector_factory(options, window, window / 2);
}

static void set_compression_options(rocksdb_options_t *options, enum cold_compression compression)
{
    bool none = compression == COLD_COMPRESSION_NONE;
    rocksdb_options_set_compression(options,
                                    none ? rocksdb_no_compression : rocksdb_lz4_compression);
    if (compression != COLD_COMPRESSION_ZSTD)
        return;
    int window_bits = -14;
    int level = 1;
    int strategy = 0;
    rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
    rocksdb_options_set_bottommost_compression_options(options, window_bits, level, strategy,
                                                       ZSTD_DICTIONARY_BYTES, 1);
    rocksdb_options_set_bottommost_compression_options_zstd_max_train_bytes(
        options, 100 * ZSTD_DICTIONARY_BYTES, 1);
}

static void set_family_options(struct cold_setup *setup, const struct cold_options *options,
                               enum family family)
{
    rocksdb_options_t *family_options = rocksdb_options_create_copy(setup->db);
    setup->families[family] = family_options;
    set_memtable_options(family_options, setup->write_buffer_bytes, family);
    set_compaction_options(family_options, family);
    set_compression_options(family_options, options->compression);
    rocksdb_block_based_table_options_t *table = create_table_options(setup, options, family);
    rocksdb_options_set_block_based_table_factory(family_options, table);
    rocksdb_block_based_options_destroy(table);
}

static enum status resolve_limits(struct cold_setup *setup, const struct cold_options *options,
                                  struct err *err)
{
    setup->block_cache_bytes = options->block_cache_bytes;
    if (setup->block_cache_bytes == 0)
        setup->block_cache_bytes = BLOCK_CACHE_BYTES_DEFAULT;
    setup->write_buffer_bytes = options->write_buffer_bytes;
    if (setup->write_buffer_bytes == 0)
        setup->write_buffer_bytes = WRITE_BUFFER_BYTES_DEFAULT;
    setup->background_jobs = options->background_jobs;
    if (setup->background_jobs == 0)
        setup->background_jobs = BACKGROUND_JOBS_DEFAULT;
    if (setup->block_cache_bytes < COLD_BLOCK_CACHE_BYTES_MIN)
        return err_set(err, ST_INVALID, "the block cache must have at least 1 MiB");
    if (setup->write_buffer_bytes < COLD_WRITE_BUFFER_BYTES_MIN)
        return err_set(err, ST_INVALID, "the memtables must have at least 1 MiB");
    if (setup->background_jobs > COLD_BACKGROUND_JOBS_MAX)
        return err_set(err, ST_INVALID, "at most %d background jobs", COLD_BACKGROUND_JOBS_MAX);
    return ST_OK;
}

enum status cold_setup_init(struct cold_setup *setup, const struct cold_options *options,
                            struct err *err)
{
    *setup = (struct cold_setup){0};
    enum status st = resolve_limits(setup, options, err);
    if (st != ST_OK)
        return st;
    setup->block_cache = rocksdb_cache_create_lru(setup->block_cache_bytes);
    setup->db = rocksdb_options_create();
    st = set_db_options(setup, options, err);
    for (int family = 0; st == ST_OK && family < FAMILY_COUNT; family++)
        set_family_options(setup, options, (enum family)family);
    if (st != ST_OK)
        cold_setup_deinit(setup);
    return st;
}

void cold_setup_deinit(struct cold_setup *setup)
{
    for (int family = 0; family < FAMILY_COUNT; family++)
        if (setup->families[family] != NULL)
            rocksdb_options_destroy(setup->families[family]);
    if (setup->db != NULL)
        rocksdb_options_destroy(setup->db);
    if (setup->block_cache != NULL)
        rocksdb_cache_destroy(setup->block_cache);
    *setup = (struct cold_setup){0};
}
