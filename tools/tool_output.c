#include "tools/tool_output.h"

#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "codec/buf.h"

bool tool_complain(const char *command, const char *text, const char *value)
{
    (void)fprintf(stderr, "basalt %s: %s%s%s; see basalt %s --help\n", command, text,
                  value == NULL ? "" : " ", value == NULL ? "" : value, command);
    return false;
}

static void append_json_chars(struct buf *out, struct bytes text)
{
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        if (byte == '"' || byte == '\\')
            buf_append_format(out, "\\%c", byte);
        else if (byte < 0x20)
            buf_append_format(out, "\\u%04x", byte);
        else
            buf_append_byte(out, byte);
    }
    buf_append_byte(out, '"');
}

void tool_append_json_text(struct buf *out, const char *text)
{
    append_json_chars(out, bytes_text(text));
}

/* How many bytes the character at `at` takes; 0: it is none. */
static size_t utf8_char_len(struct bytes text, size_t at)
{
    uint8_t first = text.data[at];
    size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len == 0 || first > 0xf4 || len > text.len - at)
        return 0;
    uint8_t second = len > 1 ? text.data[at + 1] : 0;
    /* Forms that are too long, surrogates, and what is beyond U+10FFFF. */
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text.data[at + i] & 0xc0) != 0x80)
            return 0;
    return len;
}

static void append_base64(struct buf *out, struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < data.len; i += 3) {
        size_t count = data.len - i < 3 ? data.len - i : 3;
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < count ? data.data[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            buf_append_byte(out, k <= count ? (uint8_t)digits[bits >> (18 - 6 * k) & 63] : '=');
    }
}

void tool_append_json_bytes(struct buf *out, struct bytes text)
{
    size_t at = 0;
    size_t len = 1;
    for (; at < text.len && len != 0; at += len)
        len = utf8_char_len(text, at);
    if (len != 0) {
        append_json_chars(out, text);
        return;
    }
    buf_append_text(out, "{\"base64\":\"");
    append_base64(out, text);
    buf_append_text(out, "\"}");
}

void tool_print(const struct buf *out)
{
    (void)fwrite(out->data, 1, out->len, stdout);
    (void)fflush(stdout);
}

void tool_print_failure(const char *command, bool json, enum status st, const struct err *err)
{
    if (json) {
        struct buf out = {0};
        buf_append_format(&out,
                          "{\"status\":\"error\",\"error\":\"%s\",\"message\":", status_name(st));
        tool_append_json_text(&out, err->message);
        buf_append_text(&out, "}\n");
        tool_print(&out);
        buf_deinit(&out);
    }
    (void)fprintf(stderr, "basalt %s: %s\n", command, err->message);
}

void tool_signals_catch(struct tool_signals *signals)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    *signals = (struct tool_signals){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
}

bool tool_signals_poll(struct tool_signals *signals)
{
    struct signalfd_siginfo info;
    if (signals->signal == 0 && read(signals->fd, &info, sizeof(info)) == sizeof(info))
        signals->signal = (int)info.ssi_signo;
    return signals->signal != 0;
}

void tool_signals_release(struct tool_signals *signals)
{
    if (signals->fd >= 0)
        close(signals->fd);
    signals->fd = -1;
}

void tool_allow_many_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
