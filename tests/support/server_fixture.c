/* Ports are picked at random below the range from which the kernel takes the ports of outgoing
 * connections, and tried; between our try and the server's bind somebody else may still take one.
 * Then the server exits, and a start that failed so is repeated with another port. That a PONG is
 * from our process and not from a stranger on that port is checked by the pid that INFO tells. */
#include "tests/support/server_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/buf.h"
#include "codec/mem.h"
#include "tests/support/harness.h"
#include "tests/support/resp_client.h"

#define PORT_MIN         20000
#define PORT_COUNT       12000
#define PORT_TRIES_MAX   200
#define START_TRIES_MAX  5
#define START_TIMEOUT_MS 120000
#define STOP_TIMEOUT_MS  120000
#define POLL_INTERVAL_MS 2
#define ARGS_MAX         128
#define ARGS_FIXED_MAX   16
#define SHOWN_LOG_BYTES  8192
#define EXIT_EXEC_FAILED 127
#define DIR_MODE         0755
#define LOG_MODE         0644
#define PING_TIMEOUT_MS  2000
#define ADDRESS_IN_USE   "ddress already in use"

struct server_fixture {
    struct server_options options; /* its `args` and `dir` are unused: see below */
    char **args;                   /* owned, as are the texts; NULL-terminated */
    char *scratch;                 /* owned: holds the log, and `data` unless a dir was given */
    char *dir;                     /* owned */
    char *log_path;                /* owned */
    int port;
    int port_claim; /* owned: of claim_port */
    pid_t pid;      /* 0 while not running */
    int exit_status;
    struct server_fixture *next; /* in `fixtures` */
};

/* Those that are alive: what a failed test leaves behind is found here by its teardown. */
static struct server_fixture *fixtures;

static void pause_ms(int ms)
{
    struct timespec span = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&span, NULL);
}

static char *format_path(const char *dir, const char *name)
{
    struct buf path = {0};
    buf_append_format(&path, "%s/%s", dir, name);
    buf_append_byte(&path, '\0');
    return (char *)path.data;
}

/* --- programs --- */

static const char *find_in_path(const char *name)
{
    static char found[4096];
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        int len = (int)strcspn(path, ":");
        (void)snprintf(found, sizeof(found), "%.*s/%s", len, path, name);
        if (access(found, X_OK) == 0)
            return found;
        path += len + (path[len] == ':');
    }
    return NULL;
}

const char *server_fixture_program(void)
{
    static char found[4096];
    const char *given = getenv("BASALT_SERVER");
    if (given != NULL)
        return given;
    ssize_t len = readlink("/proc/self/exe", found, sizeof(found) - 32);
    if (len <= 0)
        return NULL;
    found[len] = '\0';
    char *slash = strrchr(found, '/');
    memcpy(slash + 1, "basalt-server", sizeof("basalt-server"));
    return access(found, X_OK) == 0 ? found : NULL;
}

const char *server_fixture_reference(void)
{
    const char *given = getenv("BASALT_REFERENCE");
    if (given != NULL)
        return *given == '\0' ? NULL : given;
    const char *found = find_in_path("redis-server");
    return found != NULL ? found : find_in_path("redis-check-rdb");
}

/* --- starting --- */

static bool port_is_free(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (fd >= 0)
        close(fd);
    return is_free;
}

/* Keeps other tests from the port also while the server on it is being restarted, as long as what
 * is returned stays open; -1: one of them has it. */
static int claim_port(int port)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    /* An abstract name, which begins with a zero byte: no file, and gone with its socket. */
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "basalt-test-port-%d", port);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&name, size) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void pick_port(struct server_fixture *fixture)
{
    if (fixture->port_claim >= 0)
        (void)close(fixture->port_claim);
    static uint64_t state;
    if (state == 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        state = (uint64_t)now.tv_nsec * 2654435761U + (uint64_t)getpid() * 40503U + 1;
    }
    for (int i = 0; i < PORT_TRIES_MAX; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        int port = PORT_MIN + (int)((state >> 33) % PORT_COUNT);
        fixture->port = port;
        fixture->port_claim = claim_port(port);
        if (fixture->port_claim >= 0 && port_is_free(port))
            return;
        if (fixture->port_claim >= 0)
            (void)close(fixture->port_claim);
        fixture->port_claim = -1;
    }
    fail_msg("no free port found");
}

static void run_child(const struct server_fixture *fixture, const char *program,
                      const char *const *argv)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    int log = open(fixture->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, LOG_MODE);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(EXIT_EXEC_FAILED);
    if (fixture->options.env != NULL)
        (void)putenv((char *)(uintptr_t)fixture->options.env);
    (void)execv(program, (char *const *)(uintptr_t)argv);
    (void)dprintf(2, "cannot run %s: %s\n", program, strerror(errno));
    _exit(EXIT_EXEC_FAILED);
}

static void set_args(struct server_fixture *fixture, const char *const *args)
{
    size_t count = 0;
    while (args != NULL && args[count] != NULL)
        count++;
    if (count > ARGS_MAX - ARGS_FIXED_MAX)
        fail_msg("too many server arguments");
    char **copies = mem_calloc(count + 1, sizeof(*copies));
    for (size_t i = 0; i < count; i++)
        copies[i] = mem_strdup(args[i]);
    for (size_t i = 0; fixture->args != NULL && fixture->args[i] != NULL; i++)
        mem_free(fixture->args[i]);
    mem_free(fixture->args);
    fixture->args = copies;
}

static void spawn(struct server_fixture *fixture)
{
    const struct server_options *options = &fixture->options;
    const char *program = options->program != NULL ? options->program : server_fixture_program();
    if (program == NULL)
        fail_msg("no server program: build basalt-server or set BASALT_SERVER");
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", fixture->port);
    const char *argv[ARGS_MAX];
    size_t count = 0;
    argv[count++] = options->argv0 != NULL ? options->argv0 : program;
    if (options->config_file != NULL)
        argv[count++] = options->config_file;
    const char *const fixed[] = {"--port", port, "--bind", "127.0.0.1", "--dir", fixture->dir};
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        argv[count++] = fixed[i];
    for (size_t i = 0; fixture->args[i] != NULL; i++)
        argv[count++] = fixture->args[i];
    argv[count] = NULL;
    (void)fflush(NULL);
    fixture->pid = fork();
    if (fixture->pid == 0)
        run_child(fixture, program, argv);
    if (fixture->pid < 0)
        fail_msg("fork failed: %s", strerror(errno));
}

static bool ask(struct resp_client *client, const char *request, struct resp_reply *reply)
{
    return resp_client_send(client, bytes_text(request), NULL) == ST_OK &&
           resp_client_read(client, reply, NULL) == ST_OK;
}

/* Whether the process on our port is the one that we started. */
static bool answers_as_ours(const struct server_fixture *fixture, struct resp_client *client)
{
    char expected[48];
    struct resp_reply reply = {.kind = RESP_NIL};
    (void)snprintf(expected, sizeof(expected), "process_id:%d\r", (int)fixture->pid);
    if (!ask(client, "INFO server\r\n", &reply))
        return false; /* whoever it is, it has gone */
    buf_append_byte(&reply.text, 0);
    const char *info = (const char *)reply.text.data;
    bool ours = strstr(info, "process_id:") == NULL || strstr(info, expected) != NULL;
    resp_reply_deinit(&reply);
    return ours;
}

static bool is_ready(const struct server_fixture *fixture)
{
    struct resp_client *client = NULL;
    if (resp_client_connect(fixture->port, &client, NULL) != ST_OK)
        return false;
    resp_client_set_timeout_ms(client, PING_TIMEOUT_MS);
    struct resp_reply reply = {.kind = RESP_NIL};
    bool ready = false;
    if (ask(client, "PING\r\n", &reply)) {
        struct bytes text = buf_bytes(&reply.text);
        bool pong = reply.kind == RESP_SIMPLE && bytes_equal(text, bytes_text("PONG"));
        bool locked =
            reply.kind == RESP_ERROR && text.len >= 6 && memcmp(text.data, "NOAUTH", 6) == 0;
        ready = locked || (pong && answers_as_ours(fixture, client));
        resp_reply_deinit(&reply);
    }
    resp_client_close(client);
    return ready;
}

static enum status start_once(struct server_fixture *fixture)
{
    spawn(fixture);
    int64_t deadline_ms = harness_now_ms() + START_TIMEOUT_MS;
    while (!is_ready(fixture)) {
        if (server_fixture_wait_exit(fixture, 0, NULL))
            return ST_IO;
        if (harness_now_ms() > deadline_ms)
            return ST_AGAIN;
        pause_ms(POLL_INTERVAL_MS);
    }
    return ST_OK;
}

static bool log_holds(const struct server_fixture *fixture, const char *text)
{
    char *log = server_fixture_read_log(fixture);
    bool holds = strstr(log, text) != NULL;
    mem_free(log);
    return holds;
}

enum status server_fixture_try_start(const struct server_options *options,
                                     struct server_fixture **out)
{
    struct server_fixture *fixture = mem_calloc(1, sizeof(*fixture));
    fixture->options = *options;
    fixture->port_claim = -1;
    set_args(fixture, options->args);
    fixture->scratch = harness_make_dir();
    fixture->log_path = format_path(fixture->scratch, "server.log");
    fixture->dir =
        options->dir != NULL ? mem_strdup(options->dir) : format_path(fixture->scratch, "data");
    if (mkdir(fixture->dir, DIR_MODE) != 0 && errno != EEXIST)
        fail_msg("cannot make %s", fixture->dir);
    fixture->next = fixtures;
    fixtures = fixture;
    enum status st = ST_IO;
    for (int i = 0; i < START_TRIES_MAX; i++) {
        pick_port(fixture);
        st = start_once(fixture);
        if (st != ST_IO || !log_holds(fixture, ADDRESS_IN_USE))
            break;
    }
    *out = fixture;
    return st;
}

struct server_fixture *server_fixture_start(const struct server_options *options)
{
    struct server_fixture *fixture = NULL;
    enum status st = server_fixture_try_start(options, &fixture);
    if (st != ST_OK)
        fail_msg("the server did not %s", st == ST_IO ? "start" : "answer in time");
    return fixture;
}

struct server_fixture *server_fixture_start_with(const char *setting, const char *value)
{
    const char *const args[] = {"--enable-debug-command", "yes", setting, value, NULL};
    return server_fixture_start(&(struct server_options){.args = args});
}

static void forget(struct server_fixture *fixture)
{
    struct server_fixture **link = &fixtures;
    while (*link != NULL && *link != fixture)
        link = &(*link)->next;
    if (*link == fixture)
        *link = fixture->next;
}

void server_fixture_destroy(struct server_fixture *fixture)
{
    if (fixture == NULL)
        return;
    forget(fixture);
    if (fixture->pid != 0) {
        (void)kill(fixture->pid, SIGKILL);
        (void)server_fixture_wait_exit(fixture, STOP_TIMEOUT_MS, NULL);
    }
    if (fixture->port_claim >= 0)
        (void)close(fixture->port_claim);
    harness_remove_dir(fixture->scratch);
    for (size_t i = 0; fixture->args[i] != NULL; i++)
        mem_free(fixture->args[i]);
    mem_free(fixture->args);
    mem_free(fixture->scratch);
    mem_free(fixture->dir);
    mem_free(fixture->log_path);
    mem_free(fixture);
}

void server_fixture_print_log_end(const struct server_fixture *fixture)
{
    char *log = server_fixture_read_log(fixture);
    size_t len = strlen(log);
    size_t shown = len < SHOWN_LOG_BYTES ? len : SHOWN_LOG_BYTES;
    (void)fprintf(stderr, "--- end of the server's log\n%s\n---\n", log + (len - shown));
    mem_free(log);
}

int server_fixture_teardown(void **state)
{
    (void)state;
    while (fixtures != NULL) {
        server_fixture_print_log_end(fixtures);
        server_fixture_destroy(fixtures);
    }
    return 0;
}

/* --- the running server --- */

int server_fixture_port(const struct server_fixture *fixture)
{
    return fixture->port;
}

pid_t server_fixture_pid(const struct server_fixture *fixture)
{
    return fixture->pid;
}

const char *server_fixture_dir(const struct server_fixture *fixture)
{
    return fixture->dir;
}

struct resp_client *server_fixture_connect(struct server_fixture *fixture)
{
    struct resp_client *client = NULL;
    struct err err = {0};
    if (resp_client_connect(fixture->port, &client, &err) != ST_OK)
        fail_msg("%s", err.message);
    return client;
}

char *server_fixture_read_log(const struct server_fixture *fixture)
{
    struct buf text = {0};
    int fd = open(fixture->log_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    do {
        text.len += (size_t)got;
        uint8_t *room = buf_reserve(&text, 65536);
        got = fd < 0 ? 0 : read(fd, room, 65535);
    } while (got > 0);
    if (fd >= 0)
        close(fd);
    buf_append_byte(&text, '\0');
    return (char *)text.data;
}

bool server_fixture_wait_log(const struct server_fixture *fixture, const char *text, int timeout_ms)
{
    int64_t deadline_ms = harness_now_ms() + timeout_ms;
    while (!log_holds(fixture, text)) {
        if (harness_now_ms() > deadline_ms)
            return false;
        pause_ms(POLL_INTERVAL_MS);
    }
    return true;
}

bool server_fixture_wait_exit(struct server_fixture *fixture, int timeout_ms, int *status_out)
{
    int64_t deadline_ms = harness_now_ms() + timeout_ms;
    while (fixture->pid != 0) {
        pid_t reaped = waitpid(fixture->pid, &fixture->exit_status, WNOHANG);
        if (reaped == fixture->pid || (reaped < 0 && errno == ECHILD)) {
            fixture->pid = 0;
        } else if (harness_now_ms() >= deadline_ms) {
            return false;
        } else {
            pause_ms(POLL_INTERVAL_MS);
        }
    }
    if (status_out != NULL)
        *status_out = fixture->exit_status;
    return true;
}

void server_fixture_stop(struct server_fixture *fixture)
{
    assert_true(fixture->pid != 0);
    (void)kill(fixture->pid, SIGTERM);
    int status = 0;
    if (!server_fixture_wait_exit(fixture, STOP_TIMEOUT_MS, &status))
        fail_msg("the server did not stop in %d ms", STOP_TIMEOUT_MS);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("the server stopped with wait status 0x%x", (unsigned)status);
}

void server_fixture_kill(struct server_fixture *fixture)
{
    assert_true(fixture->pid != 0);
    (void)kill(fixture->pid, SIGKILL);
    if (!server_fixture_wait_exit(fixture, STOP_TIMEOUT_MS, NULL))
        fail_msg("the killed server is still there");
}

void server_fixture_restart(struct server_fixture *fixture)
{
    assert_true(fixture->pid == 0);
    if (start_once(fixture) != ST_OK)
        fail_msg("the server did not start again");
}

void server_fixture_restart_with(struct server_fixture *fixture, const char *const *args)
{
    set_args(fixture, args);
    server_fixture_restart(fixture);
}

bool server_fixture_is_running(struct server_fixture *fixture)
{
    return !server_fixture_wait_exit(fixture, 0, NULL);
}
