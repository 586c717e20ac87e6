/* Any text read as a configuration is refused, or gives settings that survive being written: a
 * CONFIG REWRITE of all of them reads back as the same values. Lines that would make the process
 * read other files or leave its directory are left out. */
#include "codec/buf.h"
#include "codec/check.h"
#include "server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 64

/* Of a file in a directory of its own, which is removed at the end. */
static char path[PATH_BYTES] = "/tmp/basalt-fuzz-config.XXXXXX";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_file(struct bytes text)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    CHECK(fwrite(text.data, 1, text.len, file) == text.len);
    CHECK(fclose(file) == 0);
}

static bool contains(struct bytes text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++)
        if (bytes_equal_nocase(bytes_make(text.data + i, len), word))
            return true;
    return false;
}

/* Quotes and escapes may spell any word, so what names files must be without them. */
static bool touches_files(struct bytes line)
{
    return contains(line, "include") || contains(line, "dir") ||
           ((contains(line, "\"") || contains(line, "'")) && contains(line, "\\x"));
}

static void append_safe_lines(struct bytes text, struct buf *out)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.len);
        size_t len = end == NULL ? text.len : (size_t)(end - text.data) + 1;
        struct bytes line = bytes_make(text.data, len);
        if (!touches_files(line))
            buf_append(out, line.data, line.len);
        text = bytes_make(text.data + len, text.len - len);
    }
}

static void append_value(void *arg, struct bytes name, struct bytes value)
{
    struct buf *out = arg;
    buf_append(out, name.data, name.len);
    buf_append_byte(out, ' ');
    buf_append(out, value.data, value.len);
    buf_append_byte(out, '\n');
}

static void append_values(const struct config *config, struct buf *out)
{
    struct bytes all = bytes_text("*");
    (void)config_get(config, &all, 1, append_value, out);
}

static void check_rewrite(struct config *config)
{
    struct err err;
    struct buf before = {0};
    struct buf after = {0};
    CHECK(config_rewrite(config, true, &err) == ST_OK);
    struct config *again = config_create();
    CHECK(config_load_file(again, path, &err) == ST_OK);
    append_values(config, &before);
    append_values(again, &after);
    CHECK(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    config_destroy(again);
    buf_deinit(&before);
    buf_deinit(&after);
}

static void remove_file(void)
{
    (void)unlink(path);
    *strrchr(path, '/') = '\0';
    (void)rmdir(path);
}

static void make_path(void)
{
    CHECK(mkdtemp(path) != NULL);
    memcpy(path + strlen(path), "/conf", sizeof("/conf"));
    CHECK(atexit(remove_file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        make_path();
    ready = true;
    struct buf text = {0};
    struct err err;
    append_safe_lines(bytes_make(data, size), &text);
    write_file(buf_bytes(&text));
    struct config *config = config_create();
    if (config_load_file(config, path, &err) == ST_OK)
        check_rewrite(config);
    config_destroy(config);
    buf_deinit(&text);
    return 0;
}
