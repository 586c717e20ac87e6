/* Linux shows as a process's title whatever stands in the memory that its arguments were passed in,
 * up to the first zero byte, and lets the title run on into the environment's memory behind it. */
#include "server/proc_title.h"

#include "codec/buf.h"
#include "codec/mem.h"
#include "server/config.h"

#include <string.h>
#include <unistd.h>

/* Appends the value of a variable; false if there is no such variable. */
static bool append_variable(const struct config *config, const char *title, struct bytes name,
                            struct buf *out)
{
    bool tcp = config->port != 0 || config->tls_port != 0;
    if (bytes_equal(name, bytes_text("title")))
        buf_append_text(out, title);
    else if (bytes_equal(name, bytes_text("listen-addr")) && tcp)
        buf_append_format(out, "%s:%d", config->bind.count > 0 ? config->bind.addresses[0] : "*",
                          config->port != 0 ? config->port : config->tls_port);
    else if (bytes_equal(name, bytes_text("listen-addr")))
        buf_append_format(out, "unixsocket:%s", config->unixsocket);
    else if (bytes_equal(name, bytes_text("server-mode")))
        buf_append_text(out, config->cluster_enabled ? "[cluster]" : "");
    else if (bytes_equal(name, bytes_text("config-file")))
        buf_append_text(out, config->config_file[0] != '\0' ? config->config_file : "-");
    else if (bytes_equal(name, bytes_text("port")))
        buf_append_format(out, "%d", config->port);
    else if (bytes_equal(name, bytes_text("tls-port")))
        buf_append_format(out, "%d", config->tls_port);
    else if (bytes_equal(name, bytes_text("unixsocket")))
        buf_append_text(out, config->unixsocket);
    else
        return false;
    return true;
}

/* Appends the expansion; false if the template is malformed. */
static bool expand(const struct config *config, const char *template, const char *title,
                   struct buf *out)
{
    const char *p = template;
    while (*p != '\0') {
        size_t plain = strcspn(p, "{");
        buf_append(out, p, plain);
        p += plain;
        if (*p == '\0')
            break;
        p++;
        if (*p == '{') {
            buf_append_byte(out, '{');
            p++;
            continue;
        }
        const char *end = strchr(p, '}');
        if (end == NULL || !append_variable(config, title, bytes_make(p, (size_t)(end - p)), out))
            return false;
        p = end + 1;
    }
    return true;
}

bool proc_title_is_valid(const char *template)
{
    char empty[] = "";
    const struct config sample = {.port = 6379, .unixsocket = empty, .config_file = empty};
    struct buf out = {0};
    bool valid = expand(&sample, template, "", &out);
    bool blank = true;
    for (size_t i = 0; i < out.len; i++)
        blank = blank && out.data[i] == ' ';
    buf_deinit(&out);
    return valid && !blank;
}

void proc_title_expand(const struct config *config, const char *title, struct buf *out)
{
    struct buf text = {0};
    (void)expand(config, config->proc_title_template, title, &text);
    size_t start = 0;
    while (start < text.len && text.data[start] == ' ')
        start++;
    while (text.len > start && text.data[text.len - 1] == ' ')
        text.len--;
    if (text.len > start)
        buf_append(out, text.data + start, text.len - start);
    buf_deinit(&text);
}

void proc_title_init(struct proc_title *self, int argc, char **argv)
{
    *self = (struct proc_title){0};
    if (argc == 0)
        return;
    char *area = argv[0];
    char *end = area;
    for (int i = 0; i < argc && argv[i] == end; i++)
        end += strlen(argv[i]) + 1;
    size_t count = 0;
    for (; environ[count] != NULL; count++) {
        if (environ[count] == end)
            end += strlen(environ[count]) + 1;
    }
    char **copy = mem_calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = mem_strdup(environ[i]);
    environ = copy;
    for (int i = 0; i < argc; i++)
        argv[i] = mem_strdup(argv[i]);
    self->area = area;
    self->size = (unsigned long)(end - area);
}

void proc_title_set(struct proc_title *self, const char *title)
{
    if (self->area == NULL || self->size == 0)
        return;
    size_t len = strnlen(title, self->size - 1);
    memcpy(self->area, title, len);
    memset(self->area + len, 0, self->size - len);
}
