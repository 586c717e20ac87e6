/* A load client for comparisons with other servers of the protocol: many connections on one thread,
 * a fixed number of requests in flight on each, and latencies per pipeline.
 *
 *   bench_load --port N --mode load|get|hot|missing|mixed|hotmixed [--keys N] [--requests N]
 *              [--clients N] [--pipeline N] [--size BYTES] [--hot N] [--seed N] [--rate N]
 *
 * load    SET of each key once, in pseudo-random order, with values that do not compress
 * get     GET of uniformly chosen keys
 * hot     GET of a hot set of --hot keys scattered over all keys
 * missing GET of keys that do not exist, in between those that do
 * mixed   half GET, half SET, uniformly chosen
 * hotmixed  the same of the hot set
 *
 * With --rate, requests are due at fixed moments, so many a second, and a latency begins when its
 * request was due: whatever keeps the server from answering is in the latency of all that were due
 * meanwhile. Until --requests, or a signal (INT, TERM).
 *
 * Prints one line: mode, requests per second, p50, p99, p99.9 and the largest latency of a pipeline
 * in ms, and the number of nil and error replies. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX     1024
#define PIPELINE_MAX    1024
#define INPUT_BYTES     (1 << 20)
#define LATENCY_BUCKETS 512
#define KEY_BYTES_MAX   32
#define TICK_US         100 /* between looks at what is due */
#define RATE_MAX        1000000

enum mode { MODE_LOAD, MODE_GET, MODE_HOT, MODE_MISSING, MODE_MIXED, MODE_HOT_MIXED };
static const char *const mode_names[] = {"load", "get", "hot", "missing", "mixed", "hotmixed"};

struct options {
    enum mode mode;
    int port;
    uint64_t keys, requests, hot, seed;
    uint64_t rate; /* 0: as fast as they are answered */
    int clients, pipeline, size;
};

struct client {
    int fd;
    int outstanding; /* replies still to come */
    uint64_t sent_us;
    uint8_t *input;
    size_t input_len;
    uint8_t *output;
    size_t output_len, output_sent;
};

struct bench {
    struct options options;
    struct client clients[CLIENTS_MAX];
    struct client *idle[CLIENTS_MAX]; /* with a rate: those that wait for a request to be due */
    int idle_count;
    int epoll;
    uint64_t start_us;
    uint64_t next;     /* requests made */
    uint64_t finished; /* replies seen */
    uint64_t nils, errors;
    uint64_t random;
    uint64_t stride; /* coprime to keys: visits each key once */
    uint8_t *noise;
    uint64_t latency[LATENCY_BUCKETS];
    uint64_t latency_max_us;
};

static volatile sig_atomic_t stopped; /* by a signal */

static void stop(int signal)
{
    (void)signal;
    stopped = 1;
}

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t next_random(struct bench *b)
{
    b->random ^= b->random << 13;
    b->random ^= b->random >> 7;
    b->random ^= b->random << 17;
    return b->random;
}

/* ---- Latency: 8 buckets per power of two. */

static unsigned latency_bucket(uint64_t us)
{
    if (us < 8)
        return (unsigned)us;
    unsigned log = 63 - (unsigned)__builtin_clzll(us);
    unsigned bucket = (log - 2) * 8 + (unsigned)(us >> (log - 3) & 7);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static double bucket_ms(unsigned bucket)
{
    if (bucket < 8)
        return bucket / 1000.0;
    unsigned log = bucket / 8 + 2;
    return (double)(((uint64_t)8 + bucket % 8) << (log - 3)) / 1000.0;
}

static double percentile(const struct bench *b, double share)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        total += b->latency[i];
    uint64_t wanted = (uint64_t)((double)total * share);
    uint64_t seen = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += b->latency[i];
        if (seen > wanted)
            return bucket_ms(i);
    }
    return 0;
}

/* ---- Requests. */

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static uint64_t choose_key(struct bench *b)
{
    const struct options *o = &b->options;
    switch (o->mode) {
    case MODE_LOAD:
        return (uint64_t)((unsigned __int128)b->next * b->stride % o->keys);
    case MODE_HOT:
    case MODE_HOT_MIXED:
        return next_random(b) % o->hot * (o->keys / o->hot);
    case MODE_GET:
    case MODE_MISSING:
    case MODE_MIXED:
        break;
    }
    return next_random(b) % o->keys;
}

static void add_request(struct bench *b, struct client *c)
{
    const struct options *o = &b->options;
    bool mixed = o->mode == MODE_MIXED || o->mode == MODE_HOT_MIXED;
    bool set = o->mode == MODE_LOAD || (mixed && (next_random(b) & 1) != 0);
    char key[KEY_BYTES_MAX];
    int key_len =
        snprintf(key, sizeof(key), o->mode == MODE_MISSING ? "key:%012llux" : "key:%012llu",
                 (unsigned long long)choose_key(b));
    char *out = (char *)c->output + c->output_len;
    int len =
        sprintf(out, set ? "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n" : "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n",
                key_len, key);
    if (set) {
        len += sprintf(out + len, "$%d\r\n", o->size);
        memcpy(out + len, b->noise + next_random(b) % (1 << 20), (size_t)o->size);
        len += o->size;
        out[len++] = '\r';
        out[len++] = '\n';
    }
    c->output_len += (size_t)len;
    b->next++;
}

static void send_some(struct bench *b, struct client *c)
{
    while (c->output_sent < c->output_len) {
        ssize_t n = write(c->fd, c->output + c->output_sent, c->output_len - c->output_sent);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            die("write");
        c->output_sent += (size_t)n;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (c->output_sent < c->output_len)
        event.events |= EPOLLOUT;
    if (epoll_ctl(b->epoll, EPOLL_CTL_MOD, c->fd, &event) != 0)
        die("epoll_ctl");
}

/* When the next request is to be sent. */
static uint64_t due_us(const struct bench *b)
{
    return b->start_us + b->next * 1000000 / b->options.rate;
}

static void start_pipeline(struct bench *b, struct client *c)
{
    c->output_len = 0;
    c->output_sent = 0;
    c->sent_us = b->options.rate != 0 ? due_us(b) : now_us();
    for (int i = 0; i < b->options.pipeline && b->next < b->options.requests; i++) {
        add_request(b, c);
        c->outstanding++;
    }
    if (c->outstanding == 0)
        return;
    send_some(b, c);
}

/* With a rate: sends what is due, as far as there are clients. */
static void send_due(struct bench *b)
{
    uint64_t now = now_us();
    while (b->idle_count != 0 && b->next < b->options.requests && due_us(b) <= now)
        start_pipeline(b, b->idle[--b->idle_count]);
}

/* ---- Replies. Returns the bytes of one reply, 0 while it is incomplete. */
static size_t take_reply(struct bench *b, const uint8_t *data, size_t len)
{
    const uint8_t *end = memchr(data, '\n', len);
    if (end == NULL)
        return 0;
    size_t line = (size_t)(end - data) + 1;
    if (data[0] == '-') {
        if (b->errors++ == 0)
            fprintf(stderr, "first error: %.*s\n", (int)line - 2, (const char *)data);
        return line;
    }
    if (data[0] == '_') {
        b->nils++;
        return line;
    }
    if (data[0] != '$')
        return line;
    long bulk = strtol((const char *)data + 1, NULL, 10);
    if (bulk < 0) {
        b->nils++;
        return line;
    }
    size_t whole = line + (size_t)bulk + 2;
    return whole <= len ? whole : 0;
}

static void receive(struct bench *b, struct client *c)
{
    ssize_t n = read(c->fd, c->input + c->input_len, INPUT_BYTES - c->input_len);
    if (n == 0) {
        fprintf(stderr, "the server closed a connection\n");
        exit(1);
    }
    if (n < 0) {
        if (errno == EAGAIN)
            return;
        die("read");
    }
    c->input_len += (size_t)n;
    size_t at = 0;
    size_t used = 0;
    while (c->outstanding > 0 && (used = take_reply(b, c->input + at, c->input_len - at)) != 0) {
        at += used;
        c->outstanding--;
        b->finished++;
    }
    c->input_len -= at;
    memmove(c->input, c->input + at, c->input_len);
    if (c->outstanding != 0)
        return;
    uint64_t us = now_us() - c->sent_us;
    b->latency[latency_bucket(us)]++;
    if (us > b->latency_max_us)
        b->latency_max_us = us;
    if (b->options.rate == 0)
        start_pipeline(b, c);
    else
        b->idle[b->idle_count++] = c;
}

static void open_client(struct bench *b, struct client *c)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)b->options.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        die("connect");
    int one = 1;
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->input = malloc(INPUT_BYTES);
    c->output = malloc((size_t)b->options.pipeline * ((size_t)b->options.size + 128));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static int open_timer(struct bench *b)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct itimerspec tick = {.it_interval.tv_nsec = TICK_US * 1000,
                              .it_value.tv_nsec = TICK_US * 1000};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (timer < 0 || timerfd_settime(timer, 0, &tick, NULL) != 0 ||
        epoll_ctl(b->epoll, EPOLL_CTL_ADD, timer, &event) != 0)
        die("timer");
    return timer;
}

static void handle_event(struct bench *b, const struct epoll_event *event, int timer)
{
    struct client *c = event->data.ptr;
    uint64_t ticks;
    if (c == NULL) {
        if (read(timer, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
            die("timer");
        return;
    }
    if ((event->events & EPOLLOUT) != 0)
        send_some(b, c);
    if ((event->events & ~(uint32_t)EPOLLOUT) != 0)
        receive(b, c);
}

static void run(struct bench *b)
{
    int timer = b->options.rate != 0 ? open_timer(b) : -1;
    for (int i = 0; i < b->options.clients; i++)
        open_client(b, &b->clients[i]);
    b->start_us = now_us();
    uint64_t shown_us = b->start_us;
    uint64_t shown = 0;
    for (int i = 0; i < b->options.clients; i++)
        if (b->options.rate == 0)
            start_pipeline(b, &b->clients[i]);
        else
            b->idle[b->idle_count++] = &b->clients[i];
    struct epoll_event events[256];
    while (b->finished < b->options.requests && stopped == 0) {
        int count = epoll_wait(b->epoll, events, 256, 1000);
        for (int i = 0; i < count; i++)
            handle_event(b, &events[i], timer);
        if (b->options.rate != 0)
            send_due(b);
        uint64_t us = now_us();
        if (us - shown_us >= 10000000) {
            fprintf(stderr, "  %llu of %llu, %.0f/s\n", (unsigned long long)b->finished,
                    (unsigned long long)b->options.requests,
                    (double)(b->finished - shown) * 1e6 / (double)(us - shown_us));
            shown = b->finished;
            shown_us = us;
        }
    }
    double seconds = (double)(now_us() - b->start_us) / 1e6;
    printf("%s P=%d: %.0f/s  p50 %.3f p99 %.3f p99.9 %.3f max %.3f ms  nil %llu errors %llu\n",
           mode_names[b->options.mode], b->options.pipeline, (double)b->finished / seconds,
           percentile(b, 0.5), percentile(b, 0.99), percentile(b, 0.999),
           (double)b->latency_max_us / 1000, (unsigned long long)b->nils,
           (unsigned long long)b->errors);
}

static uint64_t number(const char *text)
{
    char *end = NULL;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end != '\0') {
        fprintf(stderr, "not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void parse(struct options *o, int argc, char **argv)
{
    *o = (struct options){.port = 6379,
                          .keys = 1000000,
                          .clients = 50,
                          .pipeline = 1,
                          .size = 400,
                          .hot = 100000,
                          .seed = 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp(name, "--mode") == 0) {
            for (unsigned m = 0; m < sizeof(mode_names) / sizeof(mode_names[0]); m++)
                if (strcmp(value, mode_names[m]) == 0)
                    o->mode = (enum mode)m;
        } else if (strcmp(name, "--port") == 0) {
            o->port = (int)number(value);
        } else if (strcmp(name, "--keys") == 0) {
            o->keys = number(value);
        } else if (strcmp(name, "--requests") == 0) {
            o->requests = number(value);
        } else if (strcmp(name, "--clients") == 0) {
            o->clients = (int)number(value);
        } else if (strcmp(name, "--pipeline") == 0) {
            o->pipeline = (int)number(value);
        } else if (strcmp(name, "--size") == 0) {
            o->size = (int)number(value);
        } else if (strcmp(name, "--hot") == 0) {
            o->hot = number(value);
        } else if (strcmp(name, "--rate") == 0) {
            o->rate = number(value);
        } else if (strcmp(name, "--seed") == 0) {
            o->seed = number(value);
        } else {
            fprintf(stderr, "unknown option %s\n", name);
            exit(2);
        }
    }
    if (o->requests == 0)
        o->requests = o->rate != 0 ? UINT64_MAX : o->keys;
    if (o->clients < 1 || o->clients > CLIENTS_MAX || o->pipeline < 1 ||
        o->pipeline > PIPELINE_MAX || o->keys == 0 || o->hot == 0 || o->hot > o->keys ||
        o->size < 0 || o->size > 1 << 20 || o->rate > RATE_MAX ||
        (o->rate != 0 && o->pipeline != 1)) {
        fprintf(stderr, "an option is out of range\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    struct bench *b = calloc(1, sizeof(*b));
    parse(&b->options, argc, argv);
    b->random = b->options.seed * 0x9E3779B97F4A7C15ULL | 1;
    b->noise = malloc((1 << 20) + (size_t)b->options.size);
    for (size_t i = 0; i < (1 << 20) + (size_t)b->options.size; i++)
        b->noise[i] = (uint8_t)(next_random(b) >> 32);
    b->stride = (uint64_t)((double)b->options.keys * 0.6180339887) | 1;
    while (gcd(b->stride, b->options.keys) != 1)
        b->stride += 2;
    struct sigaction action = {.sa_handler = stop, .sa_flags = SA_RESTART};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    b->epoll = epoll_create1(0);
    run(b);
    return b->errors != 0;
}
