/* A file or standard input as a sequence of bytes, unpacked where zstd has packed it. */
#ifndef BASALT_TOOLS_TOOL_INPUT_H
#define BASALT_TOOLS_TOOL_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/buf.h"
#include "codec/status.h"

struct tool_signals;
struct unpack;

/* Zeroed is closed. */
struct tool_input {
    const char *name; /* for messages; borrowed */
    uint64_t bytes;   /* of the file; 0: not known, as of a pipe */
    /* private */
    int fd;
    bool looked;           /* at the first bytes */
    struct unpack *unpack; /* owned: what is read is packed; or NULL */
    struct buf packed;     /* owned: read and not handed out yet */
    size_t packed_at;
    struct tool_signals *signals; /* borrowed: one that comes ends the reading */
};

/* `file` may be "-". ST_IO; ST_INVALID (a directory). */
MUST_USE enum status tool_input_open(struct tool_input *input, const char *file,
                                     struct tool_signals *signals, struct err *err);
/* Of a pipe or a socket, which becomes the input's. */
void tool_input_open_fd(struct tool_input *input, int fd, const char *name,
                        struct tool_signals *signals);
void tool_input_close(struct tool_input *input);
/* An rdb_read_fn; `arg` is the struct tool_input. ST_AGAIN: a signal came. */
enum status tool_input_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                            struct err *err);
/* Known from the first read on. */
static inline bool tool_input_is_packed(const struct tool_input *input)
{
    return input->unpack != NULL;
}

#endif
