/* The server's parts, handed to administrative handlers and to the modules that join them. Only
 * server.c fills this in; a handler takes from it just the part that it needs. */
#ifndef BASALT_SERVER_SERVICES_H
#define BASALT_SERVER_SERVICES_H

struct acl;
struct config;
struct command_table;
struct conns;
struct exec;
struct hot_keys;
struct journal;
struct keyspace;
struct cold;
struct stats;
struct store;
struct loop;
struct server;
struct pubsub;
struct pushes;
struct tls;
struct tracking;
struct scripting;
struct slowlog;
struct latency;
struct migrations;
struct monitors;
struct replicas;
struct saves;

struct services {
    struct config *config;          /* settings (config.h) */
    struct command_table *commands; /* command rows (command.h) */
    struct acl *acl;                /* users (acl.h) */
    struct store *store;            /* everything below the server (storage/store.h) */
    struct keyspace *ks;            /* store's */
    struct journal *journal;        /* store's */
    struct cold *cold;              /* store's */
    struct exec *exec;
    struct tls *tls;             /* certificates (tls.h) */
    struct conns *conns;         /* connected clients (conn.h) */
    struct loop *loop;           /* event loop: timers, shutdown (loop.h) */
    struct stats *stats;         /* counters for INFO (stats.h) */
    struct pushes *pushes;       /* messages that are no replies (push.h) */
    struct pubsub *pubsub;       /* who is subscribed to what (pubsub.h) */
    struct tracking *tracking;   /* who may have cached what (tracking.h) */
    struct scripting *scripting; /* EVAL, functions (scripting.h) */
    struct slowlog *slowlog;     /* requests that took long (slowlog.h) */
    struct latency *latency;     /* what held clients up (latency.h) */
    struct monitors *monitors;   /* who uses MONITOR (monitor.h) */
    struct hot_keys *hot_keys;   /* what is asked for most (hot_keys.h) */
    struct saves *saves;         /* RDB files (saves.h) */
    struct replicas *replicas;   /* those that follow (replicas.h) */
    struct server *server;       /* shutdown, facts for INFO (server.h) */
    /* Keys on their way to other servers (migrations.h). */
    struct migrations *migrations;
};

#endif
