/* The ACL file: a line per user, "user NAME RULES…", as ACL LIST shows them; read as a whole or not
 * at all. Words are separated by single blanks, there are no quotes and no comments. */
#include "server/acl_internal.h"

#include "codec/log_fn.h"
#include "codec/mem.h"
#include "server/config.h"
#include "server/log.h"
#include "server/replace_file.h"
#include "server/services.h"

#include <errno.h>
#include <stdio.h>

#define FILE_BYTES_MAX ((size_t)64 << 20)
#define READ_BYTES     65536

/* A file on its way in. */
struct reading {
    const struct acl *acl;
    const char *path;
    struct acl_users users;
    int line_number;
    struct bytes *words; /* owned: of the line */
    size_t word_count, word_capacity;
    struct buf *error; /* what is wrong, of all lines */
};

static bool read_whole(const char *path, struct buf *out, struct buf *error)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        buf_append_format(error, "Error loading ACLs, opening file '%s': %s", path,
                          strerror(errno));
        return false;
    }
    size_t got = 1;
    while (got != 0 && out->len <= FILE_BYTES_MAX) {
        got = fread(buf_reserve(out, READ_BYTES), 1, READ_BYTES, file);
        out->len += got;
    }
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed)
        buf_append_format(error, "Error loading ACLs, reading file '%s' failed", path);
    else if (out->len > FILE_BYTES_MAX)
        buf_append_format(error, "Error loading ACLs, file '%s' is too large", path);
    return !failed && out->len <= FILE_BYTES_MAX;
}

static struct bytes trim(struct bytes text)
{
    static const char blanks[] = " \t\r\n";
    while (text.len != 0 && memchr(blanks, text.data[0], sizeof(blanks) - 1) != NULL)
        text = bytes_make(text.data + 1, text.len - 1);
    while (text.len != 0 && memchr(blanks, text.data[text.len - 1], sizeof(blanks) - 1) != NULL)
        text.len--;
    return text;
}

static void split_words(struct reading *r, struct bytes line)
{
    r->word_count = 0;
    for (size_t start = 0; start <= line.len;) {
        const uint8_t *end = memchr(line.data + start, ' ', line.len - start);
        size_t len = end == NULL ? line.len - start : (size_t)(end - line.data) - start;
        if (r->word_count == r->word_capacity) {
            r->word_capacity = r->word_capacity == 0 ? 16 : 2 * r->word_capacity;
            r->words = mem_realloc(r->words, r->word_capacity * sizeof(*r->words));
        }
        r->words[r->word_count++] = trim(bytes_make(line.data + start, len));
        start += len + 1;
    }
}

/* What is unknown is named; of other mistakes, which may be about passwords, only the first one of
 * a line is told, without the word. */
static void apply_words(struct reading *r, struct acl_user *user, const struct acl_rules *rules)
{
    struct acl_terms terms = acl_terms_now(r->acl);
    bool told = false;
    for (size_t i = 0; i < rules->count; i++) {
        const char *reason = acl_user_apply(user, &terms, rules->items[i]);
        if (reason == NULL)
            continue;
        if (strcmp(reason, ACL_ERROR_UNKNOWN) == 0) {
            buf_append_format(r->error, "%s:%d: Error in applying operation '", r->path,
                              r->line_number);
            buf_append_bytes(r->error, rules->items[i]);
            buf_append_format(r->error, "': %s. ", reason);
        } else if (!told) {
            buf_append_format(r->error, "%s:%d: %s. ", r->path, r->line_number, reason);
            told = true;
        }
    }
}

static void read_line(struct reading *r, struct bytes line)
{
    split_words(r, line);
    if (r->word_count < 2 || !bytes_equal(r->words[0], bytes_text("user"))) {
        buf_append_format(r->error,
                          "%s:%d should start with user keyword followed by the username. ",
                          r->path, r->line_number);
        return;
    }
    struct bytes name = r->words[1];
    if (!acl_user_name_is_valid(name)) {
        buf_append_format(r->error, "'%s:%d: username '", r->path, r->line_number);
        buf_append_bytes(r->error, name);
        buf_append_text(r->error, "' contains invalid characters. ");
        return;
    }
    if (acl_users_find(&r->users, name) != NULL) {
        buf_append_text(r->error, "WARNING: Duplicate user '");
        buf_append_bytes(r->error, name);
        buf_append_format(r->error, "' found on line %d. ", r->line_number);
        return;
    }
    struct acl_terms terms = acl_terms_now(r->acl);
    struct acl_user *user = acl_user_create(name, &terms);
    acl_users_add(&r->users, user);
    struct acl_rules rules;
    size_t open;
    if (!acl_rules_join(r->words + 2, r->word_count - 2, &rules, &open)) {
        buf_append_format(r->error, "%s:%d: Unmatched parenthesis in selector definition.", r->path,
                          r->line_number);
        return;
    }
    apply_words(r, user, &rules);
    acl_rules_deinit(&rules);
}

static void read_lines(struct reading *r, struct bytes text)
{
    for (size_t start = 0; start < text.len;) {
        const uint8_t *end = memchr(text.data + start, '\n', text.len - start);
        size_t len = end == NULL ? text.len - start : (size_t)(end - text.data) - start;
        struct bytes line = trim(bytes_make(text.data + start, len));
        r->line_number++;
        if (line.len != 0)
            read_line(r, line);
        start += len + 1;
    }
}

bool acl_load_file(struct acl *acl, struct session *self, struct buf *error)
{
    struct reading r = {.acl = acl, .path = acl->services->config->aclfile, .error = error};
    struct buf text = {0};
    if (!read_whole(r.path, &text, error)) {
        buf_deinit(&text);
        return false;
    }
    read_lines(&r, buf_bytes(&text));
    buf_deinit(&text);
    mem_free(r.words);
    if (error->len != 0) {
        acl_users_deinit(&r.users);
        buf_append_text(error, "WARNING: ACL errors detected, no change to the previously active "
                               "ACL rules was performed");
        return false;
    }
    acl_replace_users(acl, self, &r.users);
    return true;
}

bool acl_save_file(struct acl *acl)
{
    struct buf text = {0};
    for (size_t i = 0; i < acl->users.count; i++) {
        buf_append_format(&text, "user %s ", acl->users.items[i]->name);
        acl_user_describe(acl->users.items[i], &text);
        buf_append_byte(&text, '\n');
    }
    struct err err;
    enum status st = replace_file(acl->services->config->aclfile, buf_bytes(&text), &err);
    buf_deinit(&text);
    if (st != ST_OK)
        log_write(LOG_WARNING, "Writing the ACL file: %s", err.message);
    return st == ST_OK;
}
