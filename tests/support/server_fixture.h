/* A real server process for a test: on a free loopback port, with a data directory of its own,
 * until the test is over.
 *
 *     struct server_fixture *server = server_fixture_start(&(struct server_options){
 *         .args = (const char *const[]){"--appendfsync", "always", NULL}});
 *     struct resp_client *client = server_fixture_connect(server);
 *     assert_reply(client, "SET k v", "+OK");
 *     resp_client_close(client);
 *     server_fixture_kill(server);
 *     server_fixture_restart(server);
 *     ...
 *     server_fixture_destroy(server);
 *
 * A failed assertion leaves the test before server_fixture_destroy. Tests therefore have
 * server_fixture_teardown as their teardown function: it prints the end of the log of each server
 * that is left, and destroys it. All functions fail the running test when something is wrong,
 * unless they say otherwise. A server never outlives the test program (the kernel kills it). */
#ifndef BASALT_TESTS_SUPPORT_SERVER_FIXTURE_H
#define BASALT_TESTS_SUPPORT_SERVER_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

#include "codec/status.h"

struct server_fixture;
struct resp_client;

/* Arguments are copied, the other texts must stay valid as long as the fixture does. */
struct server_options {
    const char *program;     /* NULL: server_fixture_program() */
    const char *argv0;       /* NULL: `program` */
    const char *const *args; /* behind port, bind address and directory; NULL-terminated, or NULL */
    const char *dir;         /* the data directory; NULL: a fresh one, deleted at the end */
    const char *config_file; /* comes before the arguments; NULL for none */
    const char *env;         /* one NAME=value for the server alone; NULL for none */
};

/* Paths; NULL when there is none. The server under test is $BASALT_SERVER or the basalt-server next
 * to the test program. The reference is $BASALT_REFERENCE or the redis-server in PATH, or Debian's
 * redis-check-rdb, which is the same program and is redis-server when called so: hence `argv0`. */
const char *server_fixture_program(void);
const char *server_fixture_reference(void);
#define SERVER_FIXTURE_REFERENCE_ARGV0 "redis-server"

/* Starts the server and waits until it answers PING. */
struct server_fixture *server_fixture_start(const struct server_options *options);
/* The server under test with DEBUG and one setting. */
struct server_fixture *server_fixture_start_with(const char *setting, const char *value);
/* The same for a server that may refuse to start: ST_IO if it exits first, ST_AGAIN if it does not
 * answer in time; `*out` is valid in every case, for its log and exit status. */
MUST_USE enum status server_fixture_try_start(const struct server_options *options,
                                              struct server_fixture **out);
/* Kills the process if it runs, and removes the directory if it was made here. NULL is fine. */
void server_fixture_destroy(struct server_fixture *fixture);
int server_fixture_teardown(void **state);

int server_fixture_port(const struct server_fixture *fixture);
pid_t server_fixture_pid(const struct server_fixture *fixture);
const char *server_fixture_dir(const struct server_fixture *fixture);
/* A new connection, to be closed by the caller. */
struct resp_client *server_fixture_connect(struct server_fixture *fixture);
/* All that the process has printed so far, to be freed with mem_free. */
char *server_fixture_read_log(const struct server_fixture *fixture);
/* Prints the last 8 KiB of it to stderr. */
void server_fixture_print_log_end(const struct server_fixture *fixture);
/* Waits until the log holds `text`, at most `timeout_ms`. */
bool server_fixture_wait_log(const struct server_fixture *fixture, const char *text,
                             int timeout_ms);

/* SIGTERM, and waits for the exit, which must be clean (status 0). */
void server_fixture_stop(struct server_fixture *fixture);
/* SIGKILL: what is not on its way to the disk by now is lost. */
void server_fixture_kill(struct server_fixture *fixture);
/* Waits for an exit that comes by itself: true, with the status as of waitpid, if it came in time.
 */
bool server_fixture_wait_exit(struct server_fixture *fixture, int timeout_ms, int *status_out);
/* Starts a stopped or killed server again, with the same options, port and directory. */
void server_fixture_restart(struct server_fixture *fixture);
/* The same with other arguments. */
void server_fixture_restart_with(struct server_fixture *fixture, const char *const *args);
bool server_fixture_is_running(struct server_fixture *fixture);

#endif
