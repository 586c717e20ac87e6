/* Goal: docs/configuration.md describes each setting once, with its alias, default and
 * changeability. Method: read the rows of its tables and compare them with the settings table. */
#include "codec/buf.h"
#include "codec/mem.h"
#include "server/config.h"
#include "server/config_internal.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_COUNT 5

static FILE *open_document(void)
{
    FILE *file = fopen(BASALT_SOURCE_DIR "/docs/configuration.md", "r");
    if (file == NULL)
        fail_msg("cannot open " BASALT_SOURCE_DIR "/docs/configuration.md");
    return file;
}

/* Cuts "| a | b | c |" into its cells, in place; false for any other line. */
static bool cut_cells(char *line, char *cells[CELL_COUNT])
{
    if (strncmp(line, "| `", 3) != 0)
        return false;
    char *at = line + 2;
    for (size_t i = 0; i < CELL_COUNT; i++) {
        char *end = strstr(at, " |");
        assert_non_null(end);
        *end = '\0';
        cells[i] = at;
        at = end + (i + 1 < CELL_COUNT ? 3 : 2);
    }
    assert_string_equal(at, "\n");
    return true;
}

static const char *changeability(const struct setting *setting)
{
    if (setting->flags & (SETTING_IMMUTABLE | SETTING_FIXED))
        return "no";
    if (setting->flags & SETTING_PROTECTED)
        return "protected";
    return setting->flags & SETTING_DEBUG ? "debug" : "yes";
}

static void check_row(const struct setting *setting, char *const cells[CELL_COUNT])
{
    struct buf name = {0};
    struct buf fallback = {0};
    buf_append_format(&name, "`%s`", setting->name);
    if (setting->alias != NULL)
        buf_append_format(&name, " (`%s`)", setting->alias);
    assert_bytes(bytes_text(cells[0]), buf_bytes(&name));
    assert_true(strlen(cells[1]) > 0);
    if (setting->fallback[0] == '\0')
        buf_append_text(&fallback, "(empty)");
    else
        buf_append_format(&fallback, "`%s`", setting->fallback);
    assert_bytes(bytes_text(cells[2]), buf_bytes(&fallback));
    assert_string_equal(cells[3], changeability(setting));
    assert_true(strlen(cells[4]) > 0);
    assert_true((strstr(cells[4], "Hidden.") != NULL) == ((setting->flags & SETTING_HIDDEN) != 0));
    buf_deinit(&name);
    buf_deinit(&fallback);
}

static void every_setting_is_described_once_and_truly(void **state)
{
    (void)state;
    struct config *config = config_create();
    bool *seen = mem_calloc(config_setting_count, sizeof(*seen));
    FILE *file = open_document();
    char *line = NULL;
    size_t capacity = 0;
    char *cells[CELL_COUNT];
    bool inert = false;
    while (getline(&line, &capacity, file) >= 0) {
        if (strcmp(line, "## Without a meaning here\n") == 0)
            inert = true;
        if (!cut_cells(line, cells))
            continue;
        size_t len = strcspn(cells[0] + 1, "`");
        const struct setting_name *found = config_find(config, bytes_make(cells[0] + 1, len));
        if (found == NULL)
            fail_msg("no such setting: %s", cells[0]);
        size_t index = (size_t)(found->setting - config_settings);
        if (seen[index])
            fail_msg("described twice: %s", cells[0]);
        seen[index] = true;
        check_row(found->setting, cells);
        if (inert != (found->setting->offset == SETTING_INERT))
            fail_msg("in the wrong section: %s", cells[0]);
    }
    for (size_t i = 0; i < config_setting_count; i++) {
        if (!seen[i])
            fail_msg("not described: %s", config_settings[i].name);
    }
    free(line);
    assert_int_equal(fclose(file), 0);
    mem_free(seen);
    config_destroy(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(every_setting_is_described_once_and_truly)};
    return RUN_TESTS("config_docs", tests);
}
