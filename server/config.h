/* The server's settings: one typed struct that everybody reads, and one table behind it that knows
 * of each setting its name, type, range, default and whether it may change at run time.
 *
 * A field's name is its setting's name with underscores; its comment gives the unit. Values reach
 * the struct from three sides only: defaults (config_create), the file and the command line
 * (config_load_*), and CONFIG SET (config_set). All three parse and validate in full before they
 * store anything, and config_set takes everything back when a hook refuses. Settings that Redis has
 * and that mean nothing here have no field: they are accepted, shown and rewritten all the same
 * (docs/configuration.md).
 *
 * Thread: the main thread owns the struct; other threads are given copies of what they need. */
#ifndef BASALT_SERVER_CONFIG_H
#define BASALT_SERVER_CONFIG_H

#include "codec/bytes.h"
#include "codec/log_fn.h"
#include "codec/status.h"

#define CONFIG_BIND_COUNT_MAX 16

enum config_appendfsync {
    CONFIG_APPENDFSYNC_EVERYSEC,
    CONFIG_APPENDFSYNC_ALWAYS,
    CONFIG_APPENDFSYNC_NO,
};

enum config_maxmemory_policy {
    CONFIG_POLICY_VOLATILE_LRU,
    CONFIG_POLICY_VOLATILE_LFU,
    CONFIG_POLICY_VOLATILE_RANDOM,
    CONFIG_POLICY_VOLATILE_TTL,
    CONFIG_POLICY_ALLKEYS_LRU,
    CONFIG_POLICY_ALLKEYS_LFU,
    CONFIG_POLICY_ALLKEYS_RANDOM,
    CONFIG_POLICY_NOEVICTION,
};

/* Who may do something dangerous. */
enum config_permission {
    CONFIG_PERMIT_NO,
    CONFIG_PERMIT_YES,
    CONFIG_PERMIT_LOCAL, /* clients on this machine only */
};

enum config_supervised {
    CONFIG_SUPERVISED_NO,
    CONFIG_SUPERVISED_UPSTART,
    CONFIG_SUPERVISED_SYSTEMD,
    CONFIG_SUPERVISED_AUTO,
};

enum config_syslog_facility {
    CONFIG_SYSLOG_USER,
    CONFIG_SYSLOG_LOCAL0,
    CONFIG_SYSLOG_LOCAL1,
    CONFIG_SYSLOG_LOCAL2,
    CONFIG_SYSLOG_LOCAL3,
    CONFIG_SYSLOG_LOCAL4,
    CONFIG_SYSLOG_LOCAL5,
    CONFIG_SYSLOG_LOCAL6,
    CONFIG_SYSLOG_LOCAL7,
};

enum config_tls_auth_clients {
    CONFIG_TLS_AUTH_NO,
    CONFIG_TLS_AUTH_YES,
    CONFIG_TLS_AUTH_OPTIONAL,
};

enum config_oom_score_adj {
    CONFIG_OOM_NO,
    CONFIG_OOM_RELATIVE,
    CONFIG_OOM_ABSOLUTE,
};

enum config_diskless_load {
    CONFIG_DISKLESS_LOAD_DISABLED,
    CONFIG_DISKLESS_LOAD_ON_EMPTY_DB,
    CONFIG_DISKLESS_LOAD_SWAPDB,
};

enum config_sanitize_payload {
    CONFIG_SANITIZE_NO,
    CONFIG_SANITIZE_YES,
    CONFIG_SANITIZE_CLIENTS,
};

enum config_endpoint_type {
    CONFIG_ENDPOINT_IP,
    CONFIG_ENDPOINT_HOSTNAME,
    CONFIG_ENDPOINT_UNKNOWN,
};

enum config_acl_pubsub_default {
    CONFIG_ACL_PUBSUB_RESET_CHANNELS,
    CONFIG_ACL_PUBSUB_ALL_CHANNELS,
};

/* Bits of shutdown_on_sigint and shutdown_on_sigterm. */
#define CONFIG_SHUTDOWN_SAVE   1
#define CONFIG_SHUTDOWN_NOSAVE 2
#define CONFIG_SHUTDOWN_NOW    4
#define CONFIG_SHUTDOWN_FORCE  8

enum config_client_class {
    CONFIG_CLIENT_NORMAL,
    CONFIG_CLIENT_REPLICA,
    CONFIG_CLIENT_PUBSUB,
    CONFIG_CLIENT_CLASS_COUNT,
};

struct config_buffer_limit {
    uint64_t hard_bytes; /* 0: none */
    uint64_t soft_bytes; /* 0: none */
    int64_t soft_seconds;
};

struct config_bind {
    size_t count;                           /* 0: no TCP listener */
    char *addresses[CONFIG_BIND_COUNT_MAX]; /* owned; a leading '-' means "may be missing" */
};

struct config_save_point {
    int64_t seconds;
    int changes;
};

struct config_save {
    size_t count;
    struct config_save_point *points; /* owned */
};

struct config_percentiles {
    size_t count;
    double *values; /* owned; 0..100 */
};

struct config_replicaof {
    char *host; /* owned; NULL: this server is a master */
    int port;
};

/* rename-command lines in their order; `to` is "" where the command is taken away. */
struct config_rename {
    char *from;
    char *to;
};

/* The arguments of one `user` line, starting with the user's name. */
struct config_user {
    struct bytes *args;
    size_t count;
};

/* Text fields are never NULL: not set is "". All pointers are owned by the struct and valid until
 * the setting changes. */
struct config {
    /* Network */
    int port; /* 0: no TCP listener */
    int tcp_backlog;
    struct config_bind bind;
    char *bind_source_addr;
    char *unixsocket;
    unsigned unixsocketperm; /* 0: leave to the umask */
    unsigned socket_mark_id;
    unsigned maxclients;
    int timeout;       /* seconds of idleness, 0: never */
    int tcp_keepalive; /* seconds, 0: off */
    bool protected_mode;
    uint64_t client_query_buffer_limit; /* bytes */
    struct config_buffer_limit client_output_buffer_limit[CONFIG_CLIENT_CLASS_COUNT];
    int64_t proto_max_bulk_len; /* bytes */
    int64_t maxmemory_clients;  /* bytes; negative: percent of maxmemory; 0: no limit */
    int metrics_port;           /* 0: off */

    /* TLS */
    int tls_port; /* 0: off */
    char *tls_cert_file;
    char *tls_key_file;
    char *tls_key_file_pass;
    char *tls_client_cert_file;
    char *tls_client_key_file;
    char *tls_client_key_file_pass;
    char *tls_dh_params_file;
    char *tls_ca_cert_file;
    char *tls_ca_cert_dir;
    char *tls_protocols;
    char *tls_ciphers;
    char *tls_ciphersuites;
    int tls_auth_clients; /* enum config_tls_auth_clients */
    bool tls_replication;
    bool tls_cluster;
    bool tls_prefer_server_ciphers;
    bool tls_session_caching;
    int tls_session_cache_size;
    int tls_session_cache_timeout; /* seconds */

    /* Process */
    bool daemonize;
    int supervised; /* enum config_supervised */
    char *pidfile;
    bool set_proc_title;
    char *proc_title_template;
    int loglevel; /* enum log_level */
    char *logfile;
    bool syslog_enabled;
    char *syslog_ident;
    int syslog_facility; /* enum config_syslog_facility */
    bool always_show_logo;
    bool crash_log_enabled;
    int oom_score_adj;           /* enum config_oom_score_adj */
    int oom_score_adj_values[3]; /* master, replica, background child */
    bool disable_thp;
    char *locale_collate;
    int shutdown_timeout;    /* seconds to wait for replicas */
    int shutdown_on_sigint;  /* CONFIG_SHUTDOWN_* bits */
    int shutdown_on_sigterm; /* CONFIG_SHUTDOWN_* bits */
    int hz;                  /* 1..500 */
    bool dynamic_hz;

    /* Data set and memory */
    int databases;
    char *dir; /* absolute path; the process's working directory */
    char *dbfilename;
    bool import_on_start;
    bool appendonly; /* these three only say what import_on_start imports */
    char *appendfilename;
    char *appenddirname;
    uint64_t maxmemory;   /* bytes; 0: half of what there is, see config_effective_maxmemory */
    int maxmemory_policy; /* enum config_maxmemory_policy */
    int maxmemory_samples;
    int maxmemory_eviction_tenacity; /* 0..100 */
    int lfu_log_factor;
    int lfu_decay_time;       /* minutes */
    int active_expire_effort; /* 1..10 */
    bool activerehashing;
    bool jemalloc_bg_thread;
    bool lazyfree_lazy_expire;
    bool lazyfree_lazy_server_del;
    bool lazyfree_lazy_user_del;
    bool lazyfree_lazy_user_flush;
    struct config_save save;
    int rdb_version; /* 9..12 */
    bool rdbcompression;
    bool rdbchecksum;
    int rdb_key_save_delay; /* us; below 0: 1 us for so many keys */
    bool rdb_del_sync_files;
    bool stop_writes_on_bgsave_error;
    int sanitize_dump_payload; /* enum config_sanitize_payload */

    /* Journal, cuts and the cold tier */
    int appendfsync;                     /* enum config_appendfsync */
    int64_t flush_interval;              /* ms between cuts */
    uint64_t dirty_limit;                /* bytes; 0: chosen from maxmemory */
    uint64_t journal_segment_size;       /* bytes */
    uint64_t journal_max_since_cut;      /* bytes of journal after which a cut is forced */
    uint64_t journal_retention_size;     /* bytes kept, archived, beyond the backlog */
    int64_t journal_retention_time;      /* seconds that as much is kept */
    uint64_t block_cache_size;           /* bytes */
    uint64_t memtable_size;              /* bytes, all families together */
    uint64_t large_object_threshold;     /* bytes */
    uint64_t large_collection_threshold; /* bytes */
    uint64_t whole_load_limit;           /* bytes */
    int loader_threads;
    int compaction_threads;
    bool debug_always_cold;
    bool accept_journal_loss;

    /* Encodings */
    uint64_t hash_max_listpack_entries;
    uint64_t hash_max_listpack_value; /* bytes */
    uint64_t set_max_intset_entries;
    uint64_t set_max_listpack_entries;
    uint64_t set_max_listpack_value; /* bytes */
    uint64_t zset_max_listpack_entries;
    uint64_t zset_max_listpack_value; /* bytes */
    int list_max_listpack_size;       /* > 0: entries, -1..-5: 4 to 64 KiB */
    int list_compress_depth;
    size_t debug_list_plain_bytes;   /* DEBUG QUICKLIST-PACKED-THRESHOLD; not a setting */
    bool debug_skip_checksum;        /* DEBUG SET-SKIP-CHECKSUM-VALIDATION; not a setting */
    uint64_t stream_node_max_bytes;  /* 0: no limit */
    int64_t stream_node_max_entries; /* 0: no limit */
    uint64_t hll_sparse_max_bytes;

    /* Observation */
    int64_t slowlog_log_slower_than; /* us; -1: off */
    uint64_t slowlog_max_len;
    int64_t latency_monitor_threshold; /* ms; 0: off */
    bool latency_tracking;
    struct config_percentiles latency_tracking_info_percentiles;
    int notify_keyspace_events;       /* NOTIFY_* bits (notify.h) */
    uint64_t tracking_table_max_keys; /* 0: no limit */
    int64_t busy_reply_threshold;     /* ms; 0: never */

    /* Security */
    struct bytes requirepass; /* owned; empty: none */
    char *aclfile;
    uint64_t acllog_max_len;
    int acl_pubsub_default;        /* enum config_acl_pubsub_default */
    int enable_debug_command;      /* enum config_permission */
    int enable_protected_configs;  /* enum config_permission */
    int enable_module_command;     /* enum config_permission */
    struct config_rename *renames; /* rename_count lines of rename-command */
    size_t rename_count;
    struct config_user *users; /* user_count lines of user */
    size_t user_count;

    /* Replication */
    struct config_replicaof replicaof;
    char *masteruser;
    struct bytes masterauth; /* owned; empty: none */
    int64_t repl_backlog_size;
    int64_t repl_backlog_ttl;     /* seconds */
    int repl_timeout;             /* seconds */
    int repl_ping_replica_period; /* seconds */
    bool repl_disable_tcp_nodelay;
    bool repl_diskless_sync;
    int repl_diskless_sync_delay; /* seconds */
    int repl_diskless_sync_max_replicas;
    int repl_diskless_load; /* enum config_diskless_load */
    bool replica_serve_stale_data;
    bool replica_read_only;
    bool replica_ignore_maxmemory;
    bool replica_ignore_disk_write_errors;
    bool replica_lazy_flush;
    bool replica_announced;
    char *replica_announce_ip;
    int replica_announce_port;
    int replica_priority;
    int min_replicas_to_write;
    int min_replicas_max_lag; /* seconds */

    /* Cluster */
    bool cluster_enabled;
    char *cluster_config_file;
    int cluster_port;              /* 0: port + 10000 */
    int64_t cluster_node_timeout;  /* ms */
    int64_t cluster_ping_interval; /* ms; hidden */
    uint64_t cluster_link_sendbuf_limit;
    char *cluster_announce_ip;
    char *cluster_announce_hostname;
    char *cluster_announce_human_nodename;
    int cluster_announce_port;
    int cluster_announce_tls_port;
    int cluster_announce_bus_port;
    int cluster_preferred_endpoint_type; /* enum config_endpoint_type */
    int cluster_replica_validity_factor;
    int cluster_migration_barrier;
    bool cluster_allow_replica_migration;
    bool cluster_replica_no_failover;
    bool cluster_require_full_coverage;
    bool cluster_allow_reads_when_down;
    bool cluster_allow_pubsubshard_when_down;

    char *config_file;          /* absolute path of the file given at start; "" without one */
    struct config_state *state; /* owned; private to config*.c */
};

/* All settings at their defaults. `dir` is the working directory of the moment. */
struct config *config_create(void);
/* Accepts NULL. */
void config_destroy(struct config *config);

/* Reads a file of redis.conf syntax. On failure the message says what Redis would have printed
 * between its banner and the exit ("Reading the configuration file 'x', at line 3\n>>> 'port
 * a'\n..."), and the settings read so far are in effect: the caller is expected to exit. `dir`
 * lines change the process's working directory at once, as in Redis, for relative includes after
 * them. */
MUST_USE enum status config_load_file(struct config *config, const char *path, struct err *err);
/* Reads what follows the program's name: `[file.conf] [--name value ...] [-]`, where `-` as the
 * first or last argument is standard input. File, then standard input, then options; the last one
 * counts. */
MUST_USE enum status config_load_args(struct config *config, int argc, char **argv,
                                      struct err *err);

/* CONFIG GET: calls `visit` once for each setting (aliases count on their own) whose name matches
 * one of the patterns, and returns how many there are. `visit` may be NULL: count only, at no cost.
 * Names without glob characters match exactly, and only so do hidden settings. `name` and `value`
 * are borrowed for the call. Source: CONFIG GET of Redis 7.2. */
typedef void config_visit_fn(void *arg, struct bytes name, struct bytes value);
size_t config_get(const struct config *config, const struct bytes *patterns, size_t pattern_count,
                  config_visit_fn *visit, void *arg);

struct config_pair {
    struct bytes name;
    struct bytes value;
};

/* What config_set must know of the client and the moment. */
struct config_set_context {
    bool client_is_local; /* loopback or unix socket: may pass enable-protected-configs local */
    bool loading;         /* some settings are refused while the data set loads */
};

/* CONFIG SET: sets all of the pairs or none. Every value is parsed before any is stored; then hooks
 * run (once per function, in the order of the pairs, for settings whose value changed); when a hook
 * fails, all values are put back and the hooks that ran, the failed one included, run again to
 * restore.
 *
 * Returns ST_OK; ST_INVALID with the reply's text, without "ERR ", in the message; ST_AGAIN when a
 * setting is refused because of `loading` (the reply is the -LOADING error). */
MUST_USE enum status config_set(struct config *config, const struct config_pair *pairs,
                                size_t pair_count, const struct config_set_context *context,
                                struct err *err);
/* True for passwords, whose values must not be shown in logs, MONITOR or SLOWLOG. */
bool config_is_sensitive(const struct config *config, struct bytes name);

/* Runs after the setting `name` was changed by config_set, never while a file is read. `config`
 * already holds the new value. May refuse by returning anything but ST_OK with the reason, as the
 * client will read it, in err->message; it must cope with being called again with the old value
 * after that. */
typedef enum status config_apply_fn(void *arg, const struct config *config, struct err *err);
/* Registers a hook; a name may have several. `name` must be a setting's primary name. */
void config_on_change(struct config *config, const char *name, config_apply_fn *apply, void *arg);

/* Sets replicaof as the REPLICAOF command does, without hooks; host NULL: a master. */
void config_set_replicaof(struct config *config, const char *host, int port);

/* CONFIG REWRITE: brings the file given at start up to date, keeping its comments and order, and
 * replaces it atomically. `force_all` also writes settings that are at their default (for tests).
 * Returns ST_INVALID without a file ("The server is running without a config file"), ST_IO. */
MUST_USE enum status config_rewrite(struct config *config, bool force_all, struct err *err);
/* Lets the owner of a directive that is not a setting (`user`) write its lines. */
struct config_rewriter;
typedef void config_rewrite_fn(void *arg, struct config_rewriter *rewriter);
void config_on_rewrite(struct config *config, const char *directive, config_rewrite_fn *rewrite,
                       void *arg);
/* One line of the directive, which the line starts with. Reuses the old lines' places in their
 * order. */
void config_rewriter_put(struct config_rewriter *rewriter, const char *directive,
                         struct bytes line);

/* maxmemory where it is set, else half of the memory that the machine and the cgroups of this
 * process allow. Reads /proc and /sys: microseconds, so keep the result. */
uint64_t config_effective_maxmemory(const struct config *config);
/* All memory this process may use, in bytes: the smaller of the machine's and its cgroups'. */
uint64_t config_memory_available(void);

/* Names as they are written in files and replies. */
const char *config_maxmemory_policy_name(int policy);
/* The letters of NOTIFY_* bits (notify.h) in Redis's order, with a terminator. */
#define CONFIG_NOTIFY_TEXT_BYTES_MAX 24
void config_notify_format(int flags, char out[CONFIG_NOTIFY_TEXT_BYTES_MAX]);
/* False when a letter is unknown. */
bool config_notify_parse(struct bytes text, int *flags_out);

#endif
