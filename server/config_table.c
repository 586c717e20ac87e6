/* The settings: one row each. Names, ranges, defaults and what may change at run time are
 * Redis 7.2's where Redis has the setting; docs/configuration.md says what each one means here, and
 * a test holds the two together. Inert rows have no field: the name is accepted, shown and
 * rewritten, without effect. */
#include "server/config_internal.h"
#include "server/proc_title.h"

#include <limits.h>
#include <locale.h>
#include <stddef.h>

#define HOSTNAME_CHARS_MAX 255

#define FIELD(field_name) .offset = (uint32_t)offsetof(struct config, field_name)

/* The kind of a number follows from its field's type. */
#define NUMBER_KIND(field_name)                                                                    \
    _Generic(((struct config *)0)->field_name, int                                                 \
             : &config_kind_int, unsigned                                                          \
             : &config_kind_uint, int64_t                                                          \
             : &config_kind_i64, uint64_t                                                          \
             : &config_kind_u64)

#define BOOL(text, field_name, preset)                                                             \
    .name = text, .kind = &config_kind_bool, FIELD(field_name), .fallback = preset
#define NUMBER(text, field_name, low, high, preset)                                                \
    .name = text, .kind = NUMBER_KIND(field_name), FIELD(field_name), .min = low, .max = high,     \
    .fallback = preset
#define CHOICE(text, field_name, list, preset)                                                     \
    .name = text, .kind = &config_kind_choice, FIELD(field_name), .choices = list,                 \
    .fallback = preset
#define TEXT(text, field_name, preset)                                                             \
    .name = text, .kind = &config_kind_text, FIELD(field_name), .fallback = preset
/* A text that means "not set" when it is empty. */
#define OPTION(text, field_name) TEXT(text, field_name, ""), .flags = SETTING_EMPTY_UNSET
#define SHAPE(text, field_name, shape, preset)                                                     \
    .name = text, .kind = &config_kind_##shape, FIELD(field_name), .fallback = preset
#define INERT_BOOL(text, preset)                                                                   \
    .name = text, .kind = &config_kind_bool, .offset = SETTING_INERT, .fallback = preset
#define INERT_NUMBER(text, low, high, preset)                                                      \
    .name = text, .kind = &config_kind_i64, .offset = SETTING_INERT, .min = low, .max = high,      \
    .fallback = preset
#define INERT_TEXT(text, preset)                                                                   \
    .name = text, .kind = &config_kind_text, .offset = SETTING_INERT, .fallback = preset
#define INERT_CHOICE(text, list, preset)                                                           \
    .name = text, .kind = &config_kind_choice, .offset = SETTING_INERT, .choices = list,           \
    .fallback = preset

#define IMMUTABLE SETTING_IMMUTABLE
#define FIXED     SETTING_FIXED
#define HIDDEN    SETTING_HIDDEN
#define MEMORY    SETTING_MEMORY
#define UNSET     SETTING_EMPTY_UNSET
#define VOLATILE  (SETTING_VOLATILE | SETTING_EMPTY_UNSET)

#define KIB          1024
#define MIB          (1024 * 1024)
#define COUNT_MAX    INT64_MAX
#define PORT_MAX     UINT16_MAX
#define RETAIN_S_MAX (100LL * 366 * 86400)
#define THREAD_MAX   64
#define DATABASE_MAX 65536 /* what a journal block can name */

static const struct setting_choice policies[] = {
    {"volatile-lru", CONFIG_POLICY_VOLATILE_LRU},
    {"volatile-lfu", CONFIG_POLICY_VOLATILE_LFU},
    {"volatile-random", CONFIG_POLICY_VOLATILE_RANDOM},
    {"volatile-ttl", CONFIG_POLICY_VOLATILE_TTL},
    {"allkeys-lru", CONFIG_POLICY_ALLKEYS_LRU},
    {"allkeys-lfu", CONFIG_POLICY_ALLKEYS_LFU},
    {"allkeys-random", CONFIG_POLICY_ALLKEYS_RANDOM},
    {"noeviction", CONFIG_POLICY_NOEVICTION},
    {NULL, 0},
};

static const struct setting_choice syslog_facilities[] = {
    {"user", CONFIG_SYSLOG_USER},     {"local0", CONFIG_SYSLOG_LOCAL0},
    {"local1", CONFIG_SYSLOG_LOCAL1}, {"local2", CONFIG_SYSLOG_LOCAL2},
    {"local3", CONFIG_SYSLOG_LOCAL3}, {"local4", CONFIG_SYSLOG_LOCAL4},
    {"local5", CONFIG_SYSLOG_LOCAL5}, {"local6", CONFIG_SYSLOG_LOCAL6},
    {"local7", CONFIG_SYSLOG_LOCAL7}, {NULL, 0},
};

static const struct setting_choice log_levels[] = {
    {"debug", LOG_DEBUG},     {"verbose", LOG_VERBOSE}, {"notice", LOG_NOTICE},
    {"warning", LOG_WARNING}, {"nothing", LOG_NOTHING}, {NULL, 0},
};

static const struct setting_choice supervisors[] = {
    {"upstart", CONFIG_SUPERVISED_UPSTART},
    {"systemd", CONFIG_SUPERVISED_SYSTEMD},
    {"auto", CONFIG_SUPERVISED_AUTO},
    {"no", CONFIG_SUPERVISED_NO},
    {NULL, 0},
};

static const struct setting_choice fsync_policies[] = {
    {"everysec", CONFIG_APPENDFSYNC_EVERYSEC},
    {"always", CONFIG_APPENDFSYNC_ALWAYS},
    {"no", CONFIG_APPENDFSYNC_NO},
    {NULL, 0},
};

static const struct setting_choice shutdown_flags[] = {
    {"default", 0},
    {"save", CONFIG_SHUTDOWN_SAVE},
    {"nosave", CONFIG_SHUTDOWN_NOSAVE},
    {"now", CONFIG_SHUTDOWN_NOW},
    {"force", CONFIG_SHUTDOWN_FORCE},
    {NULL, 0},
};

static const struct setting_choice diskless_loads[] = {
    {"disabled", CONFIG_DISKLESS_LOAD_DISABLED},
    {"on-empty-db", CONFIG_DISKLESS_LOAD_ON_EMPTY_DB},
    {"swapdb", CONFIG_DISKLESS_LOAD_SWAPDB},
    {NULL, 0},
};

static const struct setting_choice tls_auths[] = {
    {"no", CONFIG_TLS_AUTH_NO},
    {"yes", CONFIG_TLS_AUTH_YES},
    {"optional", CONFIG_TLS_AUTH_OPTIONAL},
    {NULL, 0},
};

static const struct setting_choice oom_adjustments[] = {
    {"no", CONFIG_OOM_NO},
    {"yes", CONFIG_OOM_RELATIVE},
    {"relative", CONFIG_OOM_RELATIVE},
    {"absolute", CONFIG_OOM_ABSOLUTE},
    {NULL, 0},
};

static const struct setting_choice pubsub_defaults[] = {
    {"allchannels", CONFIG_ACL_PUBSUB_ALL_CHANNELS},
    {"resetchannels", CONFIG_ACL_PUBSUB_RESET_CHANNELS},
    {NULL, 0},
};

static const struct setting_choice sanitizers[] = {
    {"no", CONFIG_SANITIZE_NO},
    {"yes", CONFIG_SANITIZE_YES},
    {"clients", CONFIG_SANITIZE_CLIENTS},
    {NULL, 0},
};

static const struct setting_choice permissions[] = {
    {"no", CONFIG_PERMIT_NO},
    {"yes", CONFIG_PERMIT_YES},
    {"local", CONFIG_PERMIT_LOCAL},
    {NULL, 0},
};

static const struct setting_choice endpoint_types[] = {
    {"ip", CONFIG_ENDPOINT_IP},
    {"hostname", CONFIG_ENDPOINT_HOSTNAME},
    {"unknown-endpoint", CONFIG_ENDPOINT_UNKNOWN},
    {NULL, 0},
};

static const struct setting_choice error_behaviors[] = {
    {"ignore", 0},
    {"panic", 1},
    {"panic-on-replicas", 2},
    {NULL, 0},
};

/* Checks of single settings; `value` points to the parsed value, a text's to its pointer. */

static enum status check_file_name(const char *name, const char *setting, const char *what,
                                   struct err *err)
{
    if (strchr(name, '/') != NULL || strchr(name, '\\') != NULL)
        return err_set(err, ST_INVALID, "%s can't be a path, just a %s", setting, what);
    return ST_OK;
}

static enum status check_dbfilename(const void *value, struct err *err)
{
    return check_file_name(*(char *const *)value, "dbfilename", "filename", err);
}

static enum status check_appendfilename(const void *value, struct err *err)
{
    const char *name = *(char *const *)value;
    if (name[0] == '\0')
        return err_set(err, ST_INVALID, "appendfilename can't be empty");
    return check_file_name(name, "appendfilename", "filename", err);
}

static enum status check_appenddirname(const void *value, struct err *err)
{
    const char *name = *(char *const *)value;
    if (name[0] == '\0')
        return err_set(err, ST_INVALID, "appenddirname can't be empty");
    return check_file_name(name, "appenddirname", "dirname", err);
}

static enum status check_shutdown(const void *value, struct err *err)
{
    int both = CONFIG_SHUTDOWN_SAVE | CONFIG_SHUTDOWN_NOSAVE;
    if ((*(const int *)value & both) == both)
        return err_set(err, ST_INVALID,
                       "shutdown options SAVE and NOSAVE can't be used simultaneously");
    return ST_OK;
}

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static enum status check_hostname(const void *value, struct err *err)
{
    const char *name = *(char *const *)value;
    if (strlen(name) > HOSTNAME_CHARS_MAX)
        return err_set(err, ST_INVALID, "Hostnames must be less than 256 characters");
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (!is_alphanumeric(name[i]) && name[i] != '-' && name[i] != '.')
            return err_set(err, ST_INVALID,
                           "Hostnames may only contain alphanumeric characters, hyphens or dots");
    }
    return ST_OK;
}

/* What has no meaning of its own in the cluster's nodes file. */
static enum status check_nodename(const void *value, struct err *err)
{
    const char *name = *(char *const *)value;
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (name[i] < '!' || name[i] > '~' || strchr("!#$%&()*+:;<>?@[]^{|}~,=", name[i]) != NULL)
            return err_set(err, ST_INVALID,
                           "Announced human node name contained invalid character");
    }
    return ST_OK;
}

static enum status check_proc_title(const void *value, struct err *err)
{
    if (!proc_title_is_valid(*(char *const *)value))
        return err_set(err, ST_INVALID, "template format is invalid or contains unknown variables");
    return ST_OK;
}

static enum status check_locale(const void *value, struct err *err)
{
    locale_t locale = newlocale(LC_COLLATE_MASK, *(char *const *)value, (locale_t)0);
    if (locale == (locale_t)0)
        return err_set(err, ST_INVALID, "Invalid locale name");
    freelocale(locale);
    return ST_OK;
}

static enum status check_activedefrag(const void *value, struct err *err)
{
    if (*(const bool *)value)
        return err_set(err, ST_INVALID,
                       "Active defragmentation cannot be enabled: it requires a modified Jemalloc");
    return ST_OK;
}

const struct setting config_settings[] = {
    /* Network */
    {NUMBER("port", port, 0, PORT_MAX, "6379")},
    {NUMBER("tcp-backlog", tcp_backlog, 0, INT_MAX, "511"), .flags = IMMUTABLE},
    {SHAPE("bind", bind, bind, "* -::*")},
    {OPTION("bind-source-addr", bind_source_addr)},
    {TEXT("unixsocket", unixsocket, ""), .flags = IMMUTABLE | UNSET},
    {NUMBER("unixsocketperm", unixsocketperm, 0, 0777, "0"), .flags = IMMUTABLE | SETTING_OCTAL},
    {NUMBER("socket-mark-id", socket_mark_id, 0, UINT_MAX, "0"), .flags = IMMUTABLE},
    {NUMBER("maxclients", maxclients, 1, UINT_MAX, "10000")},
    {NUMBER("timeout", timeout, 0, INT_MAX, "0")},
    {NUMBER("tcp-keepalive", tcp_keepalive, 0, INT_MAX, "300")},
    {BOOL("protected-mode", protected_mode, "yes")},
    {NUMBER("client-query-buffer-limit", client_query_buffer_limit, MIB, COUNT_MAX, "1gb"),
     .flags = MEMORY},
    {SHAPE("client-output-buffer-limit", client_output_buffer_limit, buffer_limits,
           "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60")},
    {NUMBER("proto-max-bulk-len", proto_max_bulk_len, MIB, COUNT_MAX, "512mb"), .flags = MEMORY},
    {NUMBER("maxmemory-clients", maxmemory_clients, -100, COUNT_MAX, "0"),
     .flags = MEMORY | SETTING_PERCENT},
    {NUMBER("metrics-port", metrics_port, 0, PORT_MAX, "0"), .flags = FIXED},

    /* TLS */
    {NUMBER("tls-port", tls_port, 0, PORT_MAX, "0")},
    {TEXT("tls-cert-file", tls_cert_file, ""), .flags = VOLATILE},
    {TEXT("tls-key-file", tls_key_file, ""), .flags = VOLATILE},
    {TEXT("tls-key-file-pass", tls_key_file_pass, ""), .flags = UNSET | SETTING_SENSITIVE},
    {TEXT("tls-client-cert-file", tls_client_cert_file, ""), .flags = VOLATILE},
    {TEXT("tls-client-key-file", tls_client_key_file, ""), .flags = VOLATILE},
    {TEXT("tls-client-key-file-pass", tls_client_key_file_pass, ""),
     .flags = UNSET | SETTING_SENSITIVE},
    {TEXT("tls-dh-params-file", tls_dh_params_file, ""), .flags = VOLATILE},
    {TEXT("tls-ca-cert-file", tls_ca_cert_file, ""), .flags = VOLATILE},
    {TEXT("tls-ca-cert-dir", tls_ca_cert_dir, ""), .flags = VOLATILE},
    {OPTION("tls-protocols", tls_protocols)},
    {OPTION("tls-ciphers", tls_ciphers)},
    {OPTION("tls-ciphersuites", tls_ciphersuites)},
    {CHOICE("tls-auth-clients", tls_auth_clients, tls_auths, "yes")},
    {BOOL("tls-replication", tls_replication, "no")},
    {BOOL("tls-cluster", tls_cluster, "no")},
    {BOOL("tls-prefer-server-ciphers", tls_prefer_server_ciphers, "no")},
    {BOOL("tls-session-caching", tls_session_caching, "yes")},
    {NUMBER("tls-session-cache-size", tls_session_cache_size, 0, INT_MAX, "20480")},
    {NUMBER("tls-session-cache-timeout", tls_session_cache_timeout, 0, INT_MAX, "300")},

    /* Process */
    {BOOL("daemonize", daemonize, "no"), .flags = IMMUTABLE},
    {CHOICE("supervised", supervised, supervisors, "no"), .flags = IMMUTABLE},
    {TEXT("pidfile", pidfile, ""), .flags = IMMUTABLE | UNSET},
    {BOOL("set-proc-title", set_proc_title, "yes"), .flags = IMMUTABLE},
    {TEXT("proc-title-template", proc_title_template, "{title} {listen-addr} {server-mode}"),
     .check = check_proc_title},
    {CHOICE("loglevel", loglevel, log_levels, "notice")},
    {TEXT("logfile", logfile, ""), .flags = IMMUTABLE},
    {BOOL("syslog-enabled", syslog_enabled, "no"), .flags = IMMUTABLE},
    {TEXT("syslog-ident", syslog_ident, "redis"), .flags = IMMUTABLE},
    {CHOICE("syslog-facility", syslog_facility, syslog_facilities, "local0"), .flags = IMMUTABLE},
    {BOOL("always-show-logo", always_show_logo, "no"), .flags = IMMUTABLE},
    {BOOL("crash-log-enabled", crash_log_enabled, "yes")},
    {CHOICE("oom-score-adj", oom_score_adj, oom_adjustments, "no")},
    {SHAPE("oom-score-adj-values", oom_score_adj_values, oom_values, "0 200 800")},
    {BOOL("disable-thp", disable_thp, "yes"), .flags = IMMUTABLE},
    {TEXT("locale-collate", locale_collate, ""), .check = check_locale},
    {NUMBER("shutdown-timeout", shutdown_timeout, 0, INT_MAX, "10")},
    {SHAPE("shutdown-on-sigint", shutdown_on_sigint, flags, "default"), .choices = shutdown_flags,
     .check = check_shutdown},
    {SHAPE("shutdown-on-sigterm", shutdown_on_sigterm, flags, "default"), .choices = shutdown_flags,
     .check = check_shutdown},
    {NUMBER("hz", hz, 0, INT_MAX, "10"), .flags = SETTING_CLAMPED, .clamp_min = 1,
     .clamp_max = 500},
    {BOOL("dynamic-hz", dynamic_hz, "yes")},

    /* Data set and memory */
    {NUMBER("databases", databases, 1, DATABASE_MAX, "16"), .flags = IMMUTABLE},
    {SHAPE("dir", dir, dir, "."), .flags = SETTING_PROTECTED | SETTING_DENY_LOADING},
    {TEXT("dbfilename", dbfilename, "dump.rdb"), .flags = SETTING_PROTECTED,
     .check = check_dbfilename},
    {BOOL("import-on-start", import_on_start, "yes")},
    {BOOL("appendonly", appendonly, "yes"), .flags = SETTING_DENY_LOADING},
    {TEXT("appendfilename", appendfilename, "appendonly.aof"), .flags = IMMUTABLE,
     .check = check_appendfilename},
    {TEXT("appenddirname", appenddirname, "appendonlydir"), .flags = IMMUTABLE,
     .check = check_appenddirname},
    {NUMBER("maxmemory", maxmemory, 0, UINT64_MAX, "0"), .flags = MEMORY},
    {CHOICE("maxmemory-policy", maxmemory_policy, policies, "noeviction")},
    {NUMBER("maxmemory-samples", maxmemory_samples, 1, INT_MAX, "5")},
    {NUMBER("maxmemory-eviction-tenacity", maxmemory_eviction_tenacity, 0, 100, "10")},
    {NUMBER("lfu-log-factor", lfu_log_factor, 0, INT_MAX, "10")},
    {NUMBER("lfu-decay-time", lfu_decay_time, 0, INT_MAX, "1")},
    {NUMBER("active-expire-effort", active_expire_effort, 1, 10, "1")},
    {BOOL("activerehashing", activerehashing, "yes")},
    {BOOL("jemalloc-bg-thread", jemalloc_bg_thread, "yes")},
    {BOOL("lazyfree-lazy-expire", lazyfree_lazy_expire, "no")},
    {BOOL("lazyfree-lazy-server-del", lazyfree_lazy_server_del, "no")},
    {BOOL("lazyfree-lazy-user-del", lazyfree_lazy_user_del, "no")},
    {BOOL("lazyfree-lazy-user-flush", lazyfree_lazy_user_flush, "no")},
    {SHAPE("save", save, save, "")},
    {NUMBER("rdb-version", rdb_version, 9, 12, "10")},
    {BOOL("rdbcompression", rdbcompression, "yes")},
    {BOOL("rdbchecksum", rdbchecksum, "yes"), .flags = IMMUTABLE},
    {NUMBER("rdb-key-save-delay", rdb_key_save_delay, INT_MIN, INT_MAX, "0"), .flags = HIDDEN},
    {BOOL("rdb-del-sync-files", rdb_del_sync_files, "no")},
    {BOOL("stop-writes-on-bgsave-error", stop_writes_on_bgsave_error, "yes")},
    {CHOICE("sanitize-dump-payload", sanitize_dump_payload, sanitizers, "no")},

    /* Journal, cuts and the cold tier */
    {CHOICE("appendfsync", appendfsync, fsync_policies, "everysec")},
    {NUMBER("flush-interval", flush_interval, 1, 3600000, "10000")},
    {NUMBER("dirty-limit", dirty_limit, 0, COUNT_MAX, "0"), .flags = MEMORY},
    {NUMBER("journal-segment-size", journal_segment_size, 4 * KIB, 4096LL * MIB, "64mb"),
     .flags = MEMORY | FIXED},
    {NUMBER("journal-max-since-cut", journal_max_since_cut, 4 * KIB, COUNT_MAX, "256mb"),
     .flags = MEMORY},
    {NUMBER("journal-retention-size", journal_retention_size, 0, COUNT_MAX, "0"), .flags = MEMORY},
    {NUMBER("journal-retention-time", journal_retention_time, 0, RETAIN_S_MAX, "0")},
    {NUMBER("block-cache-size", block_cache_size, MIB, COUNT_MAX, "64mb"), .flags = MEMORY | FIXED},
    {NUMBER("memtable-size", memtable_size, MIB, COUNT_MAX, "128mb"), .flags = MEMORY | FIXED},
    {NUMBER("large-object-threshold", large_object_threshold, KIB, COUNT_MAX, "64kb"),
     .flags = MEMORY},
    {NUMBER("large-collection-threshold", large_collection_threshold, 64, COUNT_MAX, "8kb"),
     .flags = MEMORY},
    {NUMBER("whole-load-limit", whole_load_limit, 64 * KIB, COUNT_MAX, "256mb"), .flags = MEMORY},
    {NUMBER("loader-threads", loader_threads, 1, THREAD_MAX, "32"), .flags = FIXED},
    {NUMBER("compaction-threads", compaction_threads, 1, THREAD_MAX, "2"), .flags = FIXED},
    {BOOL("debug-always-cold", debug_always_cold, "no"), .flags = HIDDEN | SETTING_DEBUG},
    {BOOL("accept-journal-loss", accept_journal_loss, "no"), .flags = FIXED},

    /* Encodings */
    {NUMBER("hash-max-listpack-entries", hash_max_listpack_entries, 0, COUNT_MAX, "512"),
     .alias = "hash-max-ziplist-entries"},
    {NUMBER("hash-max-listpack-value", hash_max_listpack_value, 0, COUNT_MAX, "64"),
     .alias = "hash-max-ziplist-value", .flags = MEMORY},
    {NUMBER("set-max-intset-entries", set_max_intset_entries, 0, COUNT_MAX, "512")},
    {NUMBER("set-max-listpack-entries", set_max_listpack_entries, 0, COUNT_MAX, "128")},
    {NUMBER("set-max-listpack-value", set_max_listpack_value, 0, COUNT_MAX, "64")},
    {NUMBER("zset-max-listpack-entries", zset_max_listpack_entries, 0, COUNT_MAX, "128"),
     .alias = "zset-max-ziplist-entries"},
    {NUMBER("zset-max-listpack-value", zset_max_listpack_value, 0, COUNT_MAX, "64"),
     .alias = "zset-max-ziplist-value", .flags = MEMORY},
    {NUMBER("list-max-listpack-size", list_max_listpack_size, INT_MIN, INT_MAX, "-2"),
     .alias = "list-max-ziplist-size"},
    {NUMBER("list-compress-depth", list_compress_depth, 0, INT_MAX, "0")},
    {NUMBER("stream-node-max-bytes", stream_node_max_bytes, 0, COUNT_MAX, "4096"), .flags = MEMORY},
    {NUMBER("stream-node-max-entries", stream_node_max_entries, 0, COUNT_MAX, "100")},
    {NUMBER("hll-sparse-max-bytes", hll_sparse_max_bytes, 0, COUNT_MAX, "3000"), .flags = MEMORY},

    /* Observation */
    {NUMBER("slowlog-log-slower-than", slowlog_log_slower_than, -1, COUNT_MAX, "10000")},
    {NUMBER("slowlog-max-len", slowlog_max_len, 0, COUNT_MAX, "128")},
    {NUMBER("latency-monitor-threshold", latency_monitor_threshold, 0, COUNT_MAX, "0")},
    {BOOL("latency-tracking", latency_tracking, "yes")},
    {SHAPE("latency-tracking-info-percentiles", latency_tracking_info_percentiles, percentiles,
           "50 99 99.9")},
    {SHAPE("notify-keyspace-events", notify_keyspace_events, events, "")},
    {NUMBER("tracking-table-max-keys", tracking_table_max_keys, 0, COUNT_MAX, "1000000")},
    {NUMBER("busy-reply-threshold", busy_reply_threshold, 0, COUNT_MAX, "5000"),
     .alias = "lua-time-limit"},

    /* Security */
    {SHAPE("requirepass", requirepass, secret, ""), .flags = SETTING_SENSITIVE | UNSET},
    {TEXT("aclfile", aclfile, ""), .flags = IMMUTABLE},
    {NUMBER("acllog-max-len", acllog_max_len, 0, COUNT_MAX, "128")},
    {CHOICE("acl-pubsub-default", acl_pubsub_default, pubsub_defaults, "resetchannels")},
    {CHOICE("enable-debug-command", enable_debug_command, permissions, "no"), .flags = IMMUTABLE},
    {CHOICE("enable-protected-configs", enable_protected_configs, permissions, "no"),
     .flags = IMMUTABLE},
    {CHOICE("enable-module-command", enable_module_command, permissions, "no"), .flags = IMMUTABLE},

    /* Replication */
    {SHAPE("replicaof", replicaof, replicaof, "no one"), .alias = "slaveof", .flags = IMMUTABLE},
    {TEXT("masteruser", masteruser, ""), .flags = SETTING_SENSITIVE | UNSET},
    {SHAPE("masterauth", masterauth, secret, ""), .flags = SETTING_SENSITIVE | UNSET},
    {NUMBER("repl-backlog-size", repl_backlog_size, 1, COUNT_MAX, "1mb"), .flags = MEMORY},
    {NUMBER("repl-backlog-ttl", repl_backlog_ttl, 0, COUNT_MAX, "3600")},
    {NUMBER("repl-timeout", repl_timeout, 1, INT_MAX, "60")},
    {NUMBER("repl-ping-replica-period", repl_ping_replica_period, 1, INT_MAX, "10"),
     .alias = "repl-ping-slave-period"},
    {BOOL("repl-disable-tcp-nodelay", repl_disable_tcp_nodelay, "no")},
    {BOOL("repl-diskless-sync", repl_diskless_sync, "yes")},
    {NUMBER("repl-diskless-sync-delay", repl_diskless_sync_delay, 0, INT_MAX, "5")},
    {NUMBER("repl-diskless-sync-max-replicas", repl_diskless_sync_max_replicas, 0, INT_MAX, "0")},
    {CHOICE("repl-diskless-load", repl_diskless_load, diskless_loads, "disabled"),
     .flags = SETTING_DENY_LOADING},
    {BOOL("replica-serve-stale-data", replica_serve_stale_data, "yes"),
     .alias = "slave-serve-stale-data"},
    {BOOL("replica-read-only", replica_read_only, "yes"), .alias = "slave-read-only"},
    {BOOL("replica-ignore-maxmemory", replica_ignore_maxmemory, "yes"),
     .alias = "slave-ignore-maxmemory"},
    {BOOL("replica-ignore-disk-write-errors", replica_ignore_disk_write_errors, "no")},
    {BOOL("replica-lazy-flush", replica_lazy_flush, "no"), .alias = "slave-lazy-flush"},
    {BOOL("replica-announced", replica_announced, "yes")},
    {OPTION("replica-announce-ip", replica_announce_ip), .alias = "slave-announce-ip"},
    {NUMBER("replica-announce-port", replica_announce_port, 0, PORT_MAX, "0"),
     .alias = "slave-announce-port"},
    {NUMBER("replica-priority", replica_priority, 0, INT_MAX, "100"), .alias = "slave-priority"},
    {NUMBER("min-replicas-to-write", min_replicas_to_write, 0, INT_MAX, "0"),
     .alias = "min-slaves-to-write"},
    {NUMBER("min-replicas-max-lag", min_replicas_max_lag, 0, INT_MAX, "10"),
     .alias = "min-slaves-max-lag"},

    /* Cluster */
    {BOOL("cluster-enabled", cluster_enabled, "no"), .flags = IMMUTABLE},
    {TEXT("cluster-config-file", cluster_config_file, "nodes.conf"), .flags = IMMUTABLE},
    {NUMBER("cluster-port", cluster_port, 0, PORT_MAX, "0"), .flags = IMMUTABLE},
    {NUMBER("cluster-node-timeout", cluster_node_timeout, 0, COUNT_MAX, "15000")},
    {NUMBER("cluster-ping-interval", cluster_ping_interval, 0, COUNT_MAX, "0"), .flags = HIDDEN},
    {NUMBER("cluster-link-sendbuf-limit", cluster_link_sendbuf_limit, 0, UINT64_MAX, "0"),
     .flags = MEMORY},
    {OPTION("cluster-announce-ip", cluster_announce_ip)},
    {OPTION("cluster-announce-hostname", cluster_announce_hostname), .check = check_hostname},
    {OPTION("cluster-announce-human-nodename", cluster_announce_human_nodename),
     .check = check_nodename},
    {NUMBER("cluster-announce-port", cluster_announce_port, 0, PORT_MAX, "0")},
    {NUMBER("cluster-announce-tls-port", cluster_announce_tls_port, 0, PORT_MAX, "0")},
    {NUMBER("cluster-announce-bus-port", cluster_announce_bus_port, 0, PORT_MAX, "0")},
    {CHOICE("cluster-preferred-endpoint-type", cluster_preferred_endpoint_type, endpoint_types,
            "ip")},
    {NUMBER("cluster-replica-validity-factor", cluster_replica_validity_factor, 0, INT_MAX, "10"),
     .alias = "cluster-slave-validity-factor"},
    {NUMBER("cluster-migration-barrier", cluster_migration_barrier, 0, INT_MAX, "1")},
    {BOOL("cluster-allow-replica-migration", cluster_allow_replica_migration, "yes")},
    {BOOL("cluster-replica-no-failover", cluster_replica_no_failover, "no"),
     .alias = "cluster-slave-no-failover"},
    {BOOL("cluster-require-full-coverage", cluster_require_full_coverage, "yes")},
    {BOOL("cluster-allow-reads-when-down", cluster_allow_reads_when_down, "no")},
    {BOOL("cluster-allow-pubsubshard-when-down", cluster_allow_pubsubshard_when_down, "yes")},

    /* Of Redis, without a meaning here */
    {INERT_BOOL("no-appendfsync-on-rewrite", "no")},
    {INERT_NUMBER("auto-aof-rewrite-percentage", 0, INT_MAX, "100")},
    {INERT_NUMBER("auto-aof-rewrite-min-size", 0, COUNT_MAX, "64mb"), .flags = MEMORY},
    {INERT_BOOL("aof-load-truncated", "yes")},
    {INERT_BOOL("aof-use-rdb-preamble", "yes")},
    {INERT_BOOL("aof-timestamp-enabled", "no")},
    {INERT_BOOL("aof-rewrite-incremental-fsync", "yes")},
    {INERT_BOOL("aof-disable-auto-gc", "no")},
    {INERT_BOOL("rdb-save-incremental-fsync", "yes")},
    {INERT_NUMBER("key-load-delay", INT_MIN, INT_MAX, "0"), .flags = HIDDEN},
    {INERT_NUMBER("loading-process-events-interval-bytes", 1024, INT_MAX, "2097152"),
     .flags = HIDDEN},
    {INERT_BOOL("lazyfree-lazy-eviction", "no")},
    {INERT_NUMBER("io-threads", 1, 128, "1"), .flags = IMMUTABLE},
    {INERT_BOOL("io-threads-do-reads", "no"), .flags = IMMUTABLE},
    {INERT_BOOL("activedefrag", "no"), .check = check_activedefrag},
    {INERT_NUMBER("active-defrag-ignore-bytes", 1, COUNT_MAX, "100mb"), .flags = MEMORY},
    {INERT_NUMBER("active-defrag-threshold-lower", 0, 1000, "10")},
    {INERT_NUMBER("active-defrag-threshold-upper", 0, 1000, "100")},
    {INERT_NUMBER("active-defrag-cycle-min", 1, 99, "1")},
    {INERT_NUMBER("active-defrag-cycle-max", 1, 99, "25")},
    {INERT_NUMBER("active-defrag-max-scan-fields", 1, COUNT_MAX, "1000")},
    {INERT_TEXT("server_cpulist", ""), .flags = IMMUTABLE | UNSET},
    {INERT_TEXT("bio_cpulist", ""), .flags = IMMUTABLE | UNSET},
    {INERT_TEXT("aof_rewrite_cpulist", ""), .flags = IMMUTABLE | UNSET},
    {INERT_TEXT("bgsave_cpulist", ""), .flags = IMMUTABLE | UNSET},
    {INERT_BOOL("crash-memcheck-enabled", "yes")},
    {INERT_BOOL("use-exit-on-panic", "no"), .flags = HIDDEN},
    {INERT_NUMBER("watchdog-period", 0, INT_MAX, "0"), .flags = HIDDEN},
    {INERT_TEXT("ignore-warnings", "")},
    {INERT_CHOICE("propagation-error-behavior", error_behaviors, "ignore")},
};

const size_t config_setting_count = sizeof(config_settings) / sizeof(config_settings[0]);

const char *config_maxmemory_policy_name(int policy)
{
    for (const struct setting_choice *c = policies; c->name != NULL; c++) {
        if (c->value == policy)
            return c->name;
    }
    return "unknown";
}
