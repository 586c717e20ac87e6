/* The list of all tables of command rows. */
#include "server/commands/tables.h"

/* One per line, so that additions from several sides do not meet. */
/* clang-format off */
static const struct command *const tables[] = {
    cmd_acl_table,
    cmd_admin_table,
    cmd_bitfield_table,
    cmd_bitmap_table,
    cmd_client_table,
    cmd_client_tracking_table,
    cmd_cluster_table,
    cmd_command_table,
    cmd_config_table,
    cmd_conn_table,
    cmd_counter_table,
    cmd_db_table,
    cmd_debug_table,
    cmd_dump_table,
    cmd_eval_table,
    cmd_expire_table,
    cmd_function_table,
    cmd_geo_search_table,
    cmd_geo_table,
    cmd_hash_ex_table,
    cmd_hash_expire_table,
    cmd_hash_list_table,
    cmd_hash_table,
    cmd_hyperloglog_table,
    cmd_key_table,
    cmd_latency_table,
    cmd_lcs_table,
    cmd_list_pop_table,
    cmd_list_table,
    cmd_memory_table,
    cmd_module_table,
    cmd_monitor_table,
    cmd_multi_table,
    cmd_object_table,
    cmd_pubsub_table,
    cmd_range_table,
    cmd_restore_table,
    cmd_repl_table,
    cmd_scan_table,
    cmd_slowlog_table,
    cmd_sort_table,
    cmd_stream_group_table,
    cmd_stream_info_table,
    cmd_stream_read_table,
    cmd_stream_table,
    cmd_save_table,
    cmd_set_algebra_table,
    cmd_set_random_table,
    cmd_set_table,
    cmd_string_table,
    cmd_wait_table,
    cmd_zset_algebra_table,
    cmd_zset_pop_table,
    cmd_zset_random_table,
    cmd_zset_range_table,
    cmd_zset_table,
};
/* clang-format on */

struct command_table *command_table_create(void)
{
    return command_table_create_from(tables, sizeof tables / sizeof tables[0]);
}
