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

void tool_append_json_text(struct buf *out, const char *text)
{
    buf_append_byte(out, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            buf_append_format(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            buf_append_format(out, "\\u%04x", (unsigned)*p);
        else
            buf_append_byte(out, (uint8_t)*p);
    }
    buf_append_byte(out, '"');
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
