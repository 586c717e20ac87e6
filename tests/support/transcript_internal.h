/* The parsed form of a transcript and the state of a run, shared by the files of transcript. */
#ifndef BASALT_TESTS_SUPPORT_TRANSCRIPT_INTERNAL_H
#define BASALT_TESTS_SUPPORT_TRANSCRIPT_INTERNAL_H

#include "codec/split_args.h"
#include "tests/support/resp_reply.h"
#include "tests/support/transcript.h"

#define TRANSCRIPT_CLIENTS_MAX   16
#define TRANSCRIPT_VARIABLES_MAX 64
#define TRANSCRIPT_LOOPS_MAX     8
#define TRANSCRIPT_PENDING_MAX   1024

struct resp_client;

enum transcript_step_kind {
    STEP_REQUEST, /* client> text */
    STEP_EXPECT,  /* client< text, or text alone */
    STEP_SEND,    /* @send [client] "bytes" */
    STEP_RAW,     /* @raw [client] "bytes" */
    STEP_SCAN,    /* @scan [client] SCAN CURSOR ..., followed by a STEP_EXPECT */
    STEP_UNTIL,   /* @until ms, followed by a STEP_REQUEST and a STEP_EXPECT */
    STEP_CLOSE,   /* @close [client] */
    STEP_CLOSED,  /* @closed [client] */
    STEP_SILENT,  /* @silent [client] */
    STEP_RESTART, /* @restart */
    STEP_CRASH,   /* @crash */
    STEP_EXITED,  /* @exited */
    STEP_LET,     /* @let name = ... */
    STEP_IF,      /* @if conditions */
    STEP_ELSE,    /* @else */
    STEP_FOR,     /* @for name first..last */
    STEP_END,     /* @end */
};

struct transcript_step {
    enum transcript_step_kind kind;
    size_t line;      /* from 1 */
    size_t last_line; /* an expectation may take several */
    size_t group;     /* steps between two empty lines share it */
    char *client;     /* owned; of those kinds that name one */
    char *text;       /* owned; the rest */
    /* IF: its ELSE or END; ELSE: its END; FOR: its END; END: its FOR, or itself. */
    size_t partner;
};

struct transcript {
    char *path;                    /* owned */
    const char *name;              /* the last two components of `path` */
    char *only;                    /* owned; conditions of @only, or NULL */
    char *server_args;             /* owned; of @server, or NULL */
    int protocol;                  /* 0: both */
    bool needs_server;             /* one of its own */
    struct transcript_step *steps; /* owned */
    size_t step_count;
    char **lines; /* owned, without line ends */
    size_t line_count;
};

/* Whether the blank-separated conditions all hold. ST_INVALID names an unknown one. */
MUST_USE enum status transcript_check_conditions(const char *conditions,
                                                 struct transcript_target *target, int protocol,
                                                 bool *out, struct err *err);

/* Whether the target knows a command ("rpush") or subcommand ("client|tracking"). Starts the shared
 * server if it does not run. */
bool transcript_server_has(struct transcript_target *target, const char *command);

struct transcript_client {
    const char *name; /* borrowed from a step */
    struct resp_client *socket;
    int protocol;
    struct buf outgoing;
    /* What each request not yet answered makes of the protocol: 0 for no change. A ring. */
    uint8_t pending[TRANSCRIPT_PENDING_MAX];
    size_t pending_first;
    size_t pending_count;
};

struct transcript_variable {
    struct buf name;
    struct buf value;
};

struct transcript_loop {
    size_t step; /* of the STEP_FOR */
    int64_t value;
    int64_t last;
};

struct transcript_run {
    struct transcript *transcript;
    struct transcript_target *target;
    struct transcript_result *result;
    struct server_fixture *server;
    int protocol;
    size_t at;   /* the step being run */
    bool broken; /* an I/O error: nothing further makes sense */
    struct transcript_client clients[TRANSCRIPT_CLIENTS_MAX];
    size_t client_count;
    struct transcript_variable variables[TRANSCRIPT_VARIABLES_MAX];
    size_t variable_count;
    struct transcript_loop loops[TRANSCRIPT_LOOPS_MAX];
    size_t loop_count;
    /* Recording: per line, what replaces it (from its first to its last line) or follows it. */
    char **replacements; /* owned array of owned texts, or NULL when not recording */
    size_t *replaced_to;
    char **additions;
};

/* --- variables --- */

void transcript_set_variable(struct transcript_run *run, struct bytes name, struct bytes value);
void transcript_set_number(struct transcript_run *run, const char *name, int64_t value);
/* Appends `text` with each ${name} replaced, escaped where it stands in double quotes, and a zero
 * byte. False, and the run broken, for an unknown name. */
bool transcript_substitute(struct transcript_run *run, const char *text, struct buf *out);
/* The arguments of a line after substitution; false, and the run broken, if its quotes are. */
bool transcript_split_line(struct transcript_run *run, const char *text, struct split_args *out);
/* name = repeat "text" count | now-ms offset | now-s offset | "literal" */
void transcript_run_let(struct transcript_run *run, const struct transcript_step *step);

/* --- reports --- */

/* Notes a failure; `request` stands for the step's own text if not NULL. */
void transcript_report(struct transcript_run *run, const struct transcript_step *step,
                       const char *request, const char *format, ...) PRINTF_LIKE(4, 5);
/* The same for one that ends the run. */
void transcript_break(struct transcript_run *run, const struct transcript_step *step,
                      const char *message);
void transcript_report_mismatch(struct transcript_run *run, const struct transcript_step *step,
                                const struct resp_reply *reply);
/* Appends the text form, cut off where it gets long, and a zero byte. */
void transcript_render_reply(const struct resp_reply *reply, struct buf *out);
/* Adds a reply to what is recorded for a line, as a variable if it is the value of one. */
void transcript_record_reply(const struct transcript_run *run, const struct resp_reply *reply,
                             char **slot);

/* --- clients --- */

/* Bound of one reply. */
int transcript_timeout_ms(const struct transcript_run *run);
struct transcript_client *transcript_find_client(struct transcript_run *run, const char *name);
/* The step's client, connected if it was not, in the protocol of the run; NULL if it cannot be. */
struct transcript_client *transcript_use_client(struct transcript_run *run,
                                                const struct transcript_step *step);
void transcript_close_client(struct transcript_run *run, struct transcript_client *client);
bool transcript_queue_request(struct transcript_run *run, struct transcript_client *client,
                              const char *text);
/* Sends what was queued. False, and the run broken, when the server is gone. */
bool transcript_flush_client(struct transcript_run *run, struct transcript_client *client);
bool transcript_flush_all(struct transcript_run *run);
/* Reads the next reply. False, and the run broken, if there is none. */
bool transcript_read_reply(struct transcript_run *run, struct transcript_client *client,
                           struct resp_reply *reply);
/* Follows what a reply does to its connection's protocol. */
void transcript_note_reply(struct transcript_client *client, const struct resp_reply *reply);
bool transcript_reply_is_expected(struct transcript_run *run, const struct transcript_step *step,
                                  int protocol, const struct resp_reply *reply);
/* Compares, and reports or records what differs. */
void transcript_settle(struct transcript_run *run, const struct transcript_step *step, int protocol,
                       const struct resp_reply *reply);
void transcript_run_scan(struct transcript_run *run, const struct transcript_step *step);

#endif
