/* Keys on their way to another server (MIGRATE), sent by threads of their own: the main thread
 * never waits for a socket.
 *
 *     m = migration_create(&options);  migration_add(m, …) for each key;  migration_start(…)
 *     … once *migration_over(m):  migration_error, migration_was_taken
 *     migration_drop(m), at any time: one that is not over yet is given up
 *
 * What was added is sent as RESTORE, and counts as taken when the target has said so. Whether the
 * keys go here is the caller's matter. Main thread. */
#ifndef BASALT_SERVER_MIGRATIONS_H
#define BASALT_SERVER_MIGRATIONS_H

#include "codec/bytes.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct migration;
struct migrations;
struct tls_stream;

struct migrations *migrations_create(struct loop *loop);
/* All must have been dropped. Waits for those that are being given up. NULL is allowed. */
void migrations_destroy(struct migrations *migrations);

struct migration_options {
    struct bytes host, port; /* copied, as all here */
    struct bytes user;       /* empty: AUTH has the password alone */
    struct bytes password;
    bool auth;
    bool auth_user;
    bool replace;
    int64_t db;
    int64_t timeout_ms;     /* of silence */
    struct tls_stream *tls; /* taken, of tls_prepare; NULL: the target speaks no TLS */
};

struct migration *migration_create(const struct migration_options *options);
/* `ttl_ms` 0: none. `payload` is DUMP's. */
void migration_add(struct migration *m, struct bytes key, int64_t ttl_ms, struct bytes payload);
/* How many were added, and the bytes that are to be sent. */
size_t migration_count(const struct migration *m);
size_t migration_bytes(const struct migration *m);
void migration_start(struct migrations *migrations, struct migration *m);
/* Set when it has ended; the loop is woken then. */
const atomic_bool *migration_over(const struct migration *m);
/* What went wrong, as it is replied; NULL: nothing. */
const char *migration_error(const struct migration *m);
/* Whether the target has the key that was added as number `index`, from 0 on. */
bool migration_was_taken(const struct migration *m, size_t index);
void migration_drop(struct migration *m);

#endif
