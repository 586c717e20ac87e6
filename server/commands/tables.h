/* The tables of command rows, one at the end of each cmd_*.c; each ends with a row without a name.
 * A new table is declared here and listed in command_tables.c. */
#ifndef BASALT_SERVER_COMMANDS_TABLES_H
#define BASALT_SERVER_COMMANDS_TABLES_H

#include "server/command.h"

/* clang-format off */
extern const struct command cmd_acl_table[]; /* ACL */
extern const struct command cmd_admin_table[]; /* INFO, TIME, LOLWUT, SHUTDOWN */
extern const struct command cmd_backup_table[]; /* BACKUP */
extern const struct command cmd_basalt_table[]; /* BASALT */
extern const struct command cmd_bitfield_table[]; /* BITFIELD */
extern const struct command cmd_bitmap_table[]; /* SETBIT, BITCOUNT and the like */
extern const struct command cmd_client_table[]; /* CLIENT */
extern const struct command cmd_client_tracking_table[]; /* CLIENT TRACKING and the like */
extern const struct command cmd_cluster_table[]; /* CLUSTER, READONLY and the like */
extern const struct command cmd_command_table[]; /* COMMAND */
extern const struct command cmd_config_table[]; /* CONFIG */
extern const struct command cmd_conn_table[]; /* AUTH, HELLO, PING and the like */
extern const struct command cmd_counter_table[]; /* INCR and the like */
extern const struct command cmd_db_table[]; /* DBSIZE, FLUSHDB, FLUSHALL, SWAPDB */
extern const struct command cmd_debug_table[]; /* DEBUG */
extern const struct command cmd_dump_table[]; /* DUMP */
extern const struct command cmd_eval_table[]; /* EVAL, SCRIPT */
extern const struct command cmd_expire_table[]; /* EXPIRE, TTL and the like */
extern const struct command cmd_function_table[]; /* FCALL, FUNCTION */
extern const struct command cmd_geo_search_table[]; /* GEOSEARCH, GEORADIUS and the like */
extern const struct command cmd_geo_table[]; /* GEOADD, GEODIST, GEOHASH, GEOPOS */
extern const struct command cmd_hash_ex_table[]; /* HGETDEL, HGETEX, HSETEX */
extern const struct command cmd_hash_expire_table[]; /* HEXPIRE, HTTL and the like */
extern const struct command cmd_hash_list_table[]; /* HGETALL, HSCAN and the like */
extern const struct command cmd_hash_table[]; /* HSET, HGET and the like */
extern const struct command cmd_hyperloglog_table[]; /* PFADD and the like */
extern const struct command cmd_key_table[]; /* keys of any type */
extern const struct command cmd_latency_table[]; /* LATENCY */
extern const struct command cmd_lcs_table[]; /* LCS */
extern const struct command cmd_list_pop_table[]; /* LPOP, BLPOP, LMOVE and the like */
extern const struct command cmd_list_table[]; /* LPUSH, LRANGE and the like */
extern const struct command cmd_migrate_table[]; /* MIGRATE */
extern const struct command cmd_memory_table[]; /* MEMORY */
extern const struct command cmd_module_table[]; /* MODULE */
extern const struct command cmd_monitor_table[]; /* MONITOR */
extern const struct command cmd_multi_table[]; /* MULTI, EXEC, WATCH and the like */
extern const struct command cmd_object_table[]; /* OBJECT */
extern const struct command cmd_pubsub_table[]; /* SUBSCRIBE, PUBLISH and the like */
extern const struct command cmd_range_table[]; /* parts of strings */
extern const struct command cmd_restore_table[]; /* RESTORE, RESTORE-ASKING */
extern const struct command cmd_repl_table[]; /* ROLE, REPLICAOF, FAILOVER */
extern const struct command cmd_save_table[]; /* BGSAVE, SAVE, LASTSAVE, BGREWRITEAOF */
extern const struct command cmd_scan_table[]; /* SCAN, KEYS, RANDOMKEY */
extern const struct command cmd_slowlog_table[]; /* SLOWLOG */
extern const struct command cmd_sort_table[]; /* SORT, SORT_RO */
extern const struct command cmd_stream_group_table[]; /* XGROUP, XACK and the like */
extern const struct command cmd_stream_info_table[]; /* XINFO */
extern const struct command cmd_stream_read_table[]; /* XREAD, XREADGROUP */
extern const struct command cmd_stream_table[]; /* XADD and the like */
extern const struct command cmd_set_algebra_table[]; /* SINTER, SUNION and the like */
extern const struct command cmd_set_random_table[]; /* SPOP, SRANDMEMBER */
extern const struct command cmd_set_table[]; /* SADD and the like */
extern const struct command cmd_string_table[]; /* GET, SET and the like */
extern const struct command cmd_wait_table[]; /* WAIT, WAITAOF */
extern const struct command cmd_zset_algebra_table[]; /* ZUNION, ZINTER, ZDIFF */
extern const struct command cmd_zset_pop_table[]; /* ZPOPMIN, ZMPOP, BZPOPMIN and the like */
extern const struct command cmd_zset_random_table[]; /* ZRANDMEMBER, ZSCAN */
extern const struct command cmd_zset_range_table[]; /* ZRANGE, ZREMRANGEBYSCORE and the like */
extern const struct command cmd_zset_table[]; /* ZADD, ZSCORE, ZRANK and the like */
/* clang-format on */

#endif
