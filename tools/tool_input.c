#include "tools/tool_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/compress.h"
#include "tools/tool_output.h"

#define PACKED_BYTES ((size_t)256 << 10) /* read at once */

enum status tool_input_open(struct tool_input *input, const char *file,
                            struct tool_signals *signals, struct err *err)
{
    bool is_stdin = strcmp(file, "-") == 0;
    struct stat stat;
    *input = (struct tool_input){.name = is_stdin ? "standard input" : file, .signals = signals};
    input->fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
    if (input->fd < 0 || fstat(input->fd, &stat) != 0)
        return err_set_os(err, ST_IO, errno, "cannot open %s: %s", input->name, strerror(errno));
    if (S_ISDIR(stat.st_mode))
        return err_set(err, ST_INVALID, "%s is a directory", input->name);
    input->bytes = S_ISREG(stat.st_mode) ? (uint64_t)stat.st_size : 0;
    (void)posix_fadvise(input->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return ST_OK;
}

void tool_input_open_fd(struct tool_input *input, int fd, const char *name,
                        struct tool_signals *signals)
{
    *input = (struct tool_input){.name = name, .fd = fd, .signals = signals};
}

void tool_input_close(struct tool_input *input)
{
    unpack_destroy(input->unpack);
    buf_deinit(&input->packed);
    if (input->fd > STDIN_FILENO)
        close(input->fd);
    *input = (struct tool_input){.name = NULL};
}

static enum status read_file(struct tool_input *input, uint8_t *out, size_t capacity,
                             size_t *read_out, struct err *err)
{
    struct pollfd fds[] = {{.fd = input->fd, .events = POLLIN},
                           {.fd = input->signals->fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (tool_signals_poll(input->signals))
        return err_set(err, ST_AGAIN, "interrupted by a signal");
    ssize_t got;
    do
        got = read(input->fd, out, capacity);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set_os(err, ST_IO, errno, "cannot read %s: %s", input->name, strerror(errno));
    *read_out = (size_t)got;
    return ST_OK;
}

/* Looks at the first bytes, to see whether the input is packed. */
static enum status look_at_input(struct tool_input *input, struct err *err)
{
    static const uint8_t magic[] = {0x28, 0xb5, 0x2f, 0xfd};
    input->looked = true;
    (void)buf_reserve(&input->packed, PACKED_BYTES);
    while (input->packed.len < sizeof(magic)) {
        size_t got;
        enum status st = read_file(input, input->packed.data + input->packed.len,
                                   PACKED_BYTES - input->packed.len, &got, err);
        if (st != ST_OK)
            return st;
        if (got == 0)
            return ST_OK;
        input->packed.len += got;
    }
    if (memcmp(input->packed.data, magic, sizeof(magic)) == 0)
        input->unpack = unpack_create();
    return ST_OK;
}

static enum status read_packed(struct tool_input *input, uint8_t *out, size_t capacity,
                               size_t *read_out, struct err *err)
{
    for (;;) {
        struct bytes in =
            bytes_make(input->packed.data + input->packed_at, input->packed.len - input->packed_at);
        enum status st = unpack_step(input->unpack, &in, out, capacity, read_out, err);
        input->packed_at = input->packed.len - in.len;
        if (st != ST_OK || *read_out != 0)
            return st;
        size_t got;
        buf_clear(&input->packed);
        input->packed_at = 0;
        st = read_file(input, buf_reserve(&input->packed, PACKED_BYTES), PACKED_BYTES, &got, err);
        if (st != ST_OK)
            return st;
        if (got == 0)
            return unpack_at_end(input->unpack)
                       ? ST_OK
                       : err_set(err, ST_CORRUPT, "%s: the packed file is cut off", input->name);
        input->packed.len = got;
    }
}

enum status tool_input_read(void *arg, uint8_t *out, size_t capacity, size_t *read_out,
                            struct err *err)
{
    struct tool_input *input = arg;
    if (!input->looked) {
        enum status st = look_at_input(input, err);
        if (st != ST_OK)
            return st;
    }
    if (input->unpack != NULL)
        return read_packed(input, out, capacity, read_out, err);
    if (input->packed.len == input->packed_at)
        return read_file(input, out, capacity, read_out, err);
    /* The first bytes, which were looked at. */
    size_t left = input->packed.len - input->packed_at;
    *read_out = left < capacity ? left : capacity;
    memcpy(out, input->packed.data + input->packed_at, *read_out);
    input->packed_at += *read_out;
    return ST_OK;
}
