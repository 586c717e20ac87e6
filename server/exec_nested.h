/* Commands that another command runs inside its own atomic unit: EXEC what was queued, a script
 * what it calls.
 *
 * A unit is everything that one request does: nothing else runs in between, no cut falls inside,
 * time stands still, and the journal gets its effects at its end as one group (MULTI … EXEC when
 * there are several), all of which or none survives a crash. Units nest: EXEC may run a script,
 * which calls commands.
 *
 * A nested command never waits: keys that are not in RAM are read by this thread (INFO counts them
 * as cold_loads_synchronous), and what would block does not (call_may_block). A command that
 * could wait loads beforehand what its nested ones will need: call_want. Main thread. */
#ifndef BASALT_SERVER_EXEC_NESTED_H
#define BASALT_SERVER_EXEC_NESTED_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct call;
struct command;
struct exec;
struct session;

/* Runs one request inside the unit of `outer`, which is the call of the handler that asks for it.
 * Its reply, or why it was refused (unknown command, arity, gates), or an IOERR goes to
 * session->reply; session->reply.failed then tells whether it is an error, and error_code its first
 * word.
 *
 *   session  whose database, user, protocol and flags count. A script has one of its own: made by
 *            session_init with an output of its own, SESSION_SCRIPT set, `db`, `user` and
 *            `authenticated` taken from outer->session; the reply is read with output_peek and
 *            dropped with output_clear (the bytes are whole: nothing holds them back).
 *   argv     borrowed for the call
 *
 * Gates that may close at any time (the disk fails, memory is full) are looked at only as long as
 * the unit has changed nothing: a script that has begun to write can go on. What scripts may not
 * call (CMD_NOSCRIPT) and their own error texts are the caller's business: command_find and
 * command_takes first. */
void exec_call_nested(struct call *outer, struct session *session, const struct bytes *argv,
                      int argc);

/* A request whose row, arity and gates were looked at already. */
struct nested_request {
    const struct command *command;
    const struct bytes *argv;
    int argc;
    uint32_t db;      /* selected when it will run, as far as is known beforehand */
    struct bytes raw; /* its own bytes if it came as a canonical RESP array, else empty */
    bool has_random_position;
    uint64_t random_position; /* what call_want has loaded for call_random_position */
};
void exec_run_nested(struct call *outer, struct session *session,
                     const struct nested_request *request);
/* For handlers that may still wait, before they run anything nested: asks for the keys that a
 * request will need. Call it for all of them, then ask call_wanted. */
void call_want(struct call *outer, struct nested_request *request);
/* The same for a key whose existence and expiry are all that is needed. */
void call_want_key(struct call *outer, uint32_t db, struct bytes key);
/* True: all that call_want asked for is in RAM. False: the handler must return at once; it is
 * called anew, or an error was replied. */
bool call_wanted(struct call *outer);
/* The same for what the request can do without: what cannot be read is no error. */
bool call_wanted_readable(struct call *outer);

/* Whether the open unit has effects already: what it has done can no longer be undone. */
bool exec_unit_changed(const struct exec *exec);

#endif
