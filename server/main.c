/* basalt-server [file.conf] [--name value ...] */
#include "codec/mem.h"
#include "server/config.h"
#include "server/log.h"
#include "server/proc_title.h"
#include "server/server.h"
#include "server/supervise.h"

#include "codec/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_version(void)
{
    printf("Basalt server v=%s sha=00000000:0 malloc=%s bits=64 build=0\n", BASALT_VERSION,
           mem_allocator_name());
}

static void print_help(void)
{
    printf("Usage: basalt-server [/path/to/basalt.conf] [options] [-]\n"
           "       basalt-server - (read config from stdin)\n"
           "       basalt-server -v or --version\n"
           "       basalt-server -h or --help\n\n"
           "Examples:\n"
           "       basalt-server (run the server with default settings)\n"
           "       basalt-server /etc/basalt/6379.conf\n"
           "       basalt-server --port 7777 --dir /var/lib/basalt\n"
           "       basalt-server --maxmemory 4gb --appendfsync always\n\n"
           "Settings are those of redis.conf wherever the meaning is the same; see\n"
           "docs/configuration.md.\n");
}

static bool print_and_exit(int argc, char **argv)
{
    if (argc != 2)
        return false;
    if (strcmp(argv[1], "-v") == 0 || strcmp(argv[1], "--version") == 0) {
        print_version();
        return true;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        print_help();
        return true;
    }
    return false;
}

static struct log_options log_settings(const struct config *config)
{
    return (struct log_options){.level = config->loglevel,
                                .path = config->logfile,
                                .syslog = config->syslog_enabled,
                                .syslog_ident = config->syslog_ident,
                                .syslog_facility = config->syslog_facility};
}

static void show_title(struct proc_title *title, const struct config *config, const char *program)
{
    if (!config->set_proc_title)
        return;
    struct buf text = {0};
    proc_title_expand(config, program, &text);
    buf_append_byte(&text, 0);
    proc_title_set(title, (const char *)text.data);
    buf_deinit(&text);
}

static int run(struct config *config, struct proc_title *title, const char *program)
{
    struct err err;
    supervise_daemonize(config);
    log_write(LOG_NOTICE, "Basalt %s, pid=%d, just started", BASALT_VERSION, (int)getpid());
    show_title(title, config, program);
    struct server *server = NULL;
    if (server_open(config, program, &server, &err) != ST_OK) {
        log_write(LOG_WARNING, "Fatal: %s", err.message);
        return 1;
    }
    supervise_write_pid(config);
    int status = server_run(server);
    supervise_stopping(config);
    server_close(server);
    supervise_remove_pid(config);
    if (status == 0)
        log_write(LOG_WARNING, "Basalt is now ready to exit, bye bye...");
    return status;
}

int main(int argc, char **argv)
{
    if (print_and_exit(argc, argv))
        return 0;
    struct proc_title title;
    proc_title_init(&title, argc, argv);
    struct config *config = config_create();
    struct err err;
    if (config_load_args(config, argc - 1, argv + 1, &err) != ST_OK) {
        (void)fprintf(stderr, "\n*** FATAL CONFIG FILE ERROR (Basalt %s) ***\n%s\n\n",
                      BASALT_VERSION, err.message);
        config_destroy(config);
        return 1;
    }
    struct log_options log = log_settings(config);
    int status = 1;
    if (log_open(&log, &err) != ST_OK)
        (void)fprintf(stderr, "Can't open the log file: %s\n", err.message);
    else
        status = run(config, &title, argv[0]);
    log_close();
    config_destroy(config);
    return status;
}
