#include "server/functions.h"

#include "codec/check.h"
#include "codec/mem.h"
#include "server/script_flags.h"
#include "server/script_lua.h"

struct functions {
    struct script_lua *lua;
    uint64_t seed;
    functions_changed_fn *changed; /* may be NULL */
    void *changed_arg;
    struct name_map libraries;
    struct name_map functions;
    struct library *first, *last;
    size_t bytes;
};

static const char bad_name[] = "Library names can only contain letters, numbers, or underscores(_) "
                               "and must be at least one character long";

struct functions *functions_create(struct script_lua *lua, uint64_t seed)
{
    struct functions *f = mem_calloc(1, sizeof(*f));
    f->lua = lua;
    f->seed = seed;
    name_map_init(&f->libraries, seed);
    name_map_init(&f->functions, seed);
    return f;
}

struct functions *functions_create_aside(const struct functions *functions)
{
    return functions_create(functions->lua, functions->seed);
}

void functions_on_changed(struct functions *f, functions_changed_fn *fn, void *arg)
{
    f->changed = fn;
    f->changed_arg = arg;
}

static struct library *library_of(struct name_entry *entry)
{
    return (struct library *)entry; /* its first field */
}

static struct function *function_of(struct name_entry *entry)
{
    return (struct function *)entry;
}

static struct library *find_library(const struct functions *f, struct bytes name)
{
    return library_of(name_map_find(&f->libraries, name));
}

/* A copy in lower case, owned. */
static struct bytes lower_copy(struct bytes name)
{
    uint8_t *copy = mem_alloc(name.len + 1);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        copy[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
    }
    copy[name.len] = 0;
    return bytes_make(copy, name.len);
}

static void free_bytes(struct bytes owned)
{
    union {
        const uint8_t *borrowed;
        void *plain;
    } cast = {.borrowed = owned.data};
    mem_free(cast.plain);
}

static char *text_copy(struct bytes text)
{
    char *copy = mem_alloc(text.len + 1);
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return copy;
}

/* ---- Libraries --------------------------------------------------------------------------------
 */

static void library_destroy(struct script_lua *lua, struct library *library)
{
    while (library->first != NULL) {
        struct function *function = library->first;
        library->first = function->next;
        script_lua_release(lua, function->reference);
        free_bytes(function->entry.name);
        buf_deinit(&function->description);
        mem_free(function->name);
        mem_free(function);
    }
    buf_deinit(&library->code);
    mem_free(library->name);
    mem_free(library);
}

static size_t library_bytes(const struct library *library)
{
    size_t bytes = mem_good_size(sizeof(*library)) + library->code.capacity;
    for (const struct function *function = library->first; function != NULL;
         function = function->next)
        bytes += mem_good_size(sizeof(*function)) +
                 2 * mem_good_size(function->entry.name.len + 1) + function->description.capacity;
    return bytes;
}

static void link_library(struct functions *f, struct library *library)
{
    library->next = NULL;
    library->prev = f->last;
    *(f->last != NULL ? &f->last->next : &f->first) = library;
    f->last = library;
    name_map_add(&f->libraries, &library->entry);
    for (struct function *function = library->first; function != NULL; function = function->next)
        name_map_add(&f->functions, &function->entry);
    f->bytes += library_bytes(library);
    if (f->changed != NULL)
        f->changed(f->changed_arg, library, true);
}

static void unlink_library(struct functions *f, struct library *library)
{
    if (f->changed != NULL)
        f->changed(f->changed_arg, library, false);
    f->bytes -= library_bytes(library);
    for (struct function *function = library->first; function != NULL; function = function->next)
        name_map_remove(&f->functions, &function->entry);
    name_map_remove(&f->libraries, &library->entry);
    *(library->next != NULL ? &library->next->prev : &f->last) = library->prev;
    *(library->prev != NULL ? &library->prev->next : &f->first) = library->next;
}

static void drop_library(struct functions *f, struct library *library)
{
    unlink_library(f, library);
    library_destroy(f->lua, library);
}

void functions_clear(struct functions *f)
{
    while (f->first != NULL)
        drop_library(f, f->first);
}

void functions_destroy(struct functions *f)
{
    if (f == NULL)
        return;
    f->changed = NULL;
    functions_clear(f);
    name_map_deinit(&f->libraries);
    name_map_deinit(&f->functions);
    mem_free(f);
}

bool functions_delete(struct functions *f, struct bytes name)
{
    struct library *library = find_library(f, name);
    if (library != NULL)
        drop_library(f, library);
    return library != NULL;
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

/* A script_lua_register_fn for a new library. */
static const char *add_function(void *arg, const struct script_lua_function *registered)
{
    struct library *library = arg;
    if (!script_name_is_valid(registered->name))
        return bad_name;
    struct bytes lower = lower_copy(registered->name);
    struct function **place = &library->first;
    while (*place != NULL && !bytes_equal((*place)->entry.name, lower))
        place = &(*place)->next;
    if (*place != NULL) {
        free_bytes(lower);
        return "Function already exists in the library";
    }
    struct function *function = mem_calloc(1, sizeof(*function));
    function->entry.name = lower;
    function->library = library;
    function->name = text_copy(registered->name);
    function->flags = registered->flags;
    function->reference = registered->reference;
    if (registered->description.data != NULL) {
        buf_append_byte(&function->description, 0); /* an empty description is one */
        buf_clear(&function->description);
        buf_append_bytes(&function->description, registered->description);
    }
    *place = function;
    library->function_count++;
    return NULL;
}

static bool fail(struct buf *error, const char *before, struct bytes name, const char *after)
{
    buf_append_text(error, before);
    buf_append_bytes(error, name);
    buf_append_text(error, after);
    return false;
}

/* No function of `library` may have the name of one of another library than `replaced`. */
static bool check_collisions(const struct functions *f, const struct library *library,
                             const struct library *replaced, struct buf *error)
{
    for (const struct function *function = library->first; function != NULL;
         function = function->next) {
        const struct name_entry *entry = name_map_find(&f->functions, function->entry.name);
        if (entry != NULL && ((const struct function *)entry)->library != replaced)
            return fail(error, "Function ", bytes_text(function->name), " already exists");
    }
    return true;
}

static bool check_line(const struct functions *f, const struct script_library_line *line,
                       bool replace, struct buf *error)
{
    struct bytes name = buf_bytes(&line->name);
    if (!script_name_is_valid(name)) {
        buf_append_text(error, bad_name);
        return false;
    }
    if (!bytes_equal_nocase(buf_bytes(&line->engine), "lua"))
        return fail(error, "Engine '", buf_bytes(&line->engine), "' not found");
    if (!replace && find_library(f, name) != NULL)
        return fail(error, "Library '", name, "' already exists");
    return true;
}

static bool run_code(const struct functions *f, struct library *library, size_t line_len,
                     struct buf *error)
{
    /* The line's end stays, so that the lines keep their numbers. */
    struct bytes code = bytes_make(library->code.data + line_len, library->code.len - line_len);
    if (!script_lua_load(f->lua, code, add_function, library, error))
        return false;
    if (library->first == NULL) {
        buf_append_text(error, "No functions registered");
        return false;
    }
    return true;
}

const struct library *functions_load(struct functions *f, struct bytes code, bool replace,
                                     struct buf *error)
{
    struct script_library_line line = {.line_len = 0};
    struct library *library = NULL;
    struct library *replaced = NULL;
    bool loaded =
        script_read_library_line(code, &line, error) && check_line(f, &line, replace, error);
    if (loaded) {
        replaced = find_library(f, buf_bytes(&line.name));
        library = mem_calloc(1, sizeof(*library));
        library->name = text_copy(buf_bytes(&line.name));
        library->entry.name = bytes_text(library->name);
        buf_append_bytes(&library->code, code);
        loaded = run_code(f, library, line.line_len, error) &&
                 check_collisions(f, library, replaced, error);
    }
    script_library_line_deinit(&line);
    if (!loaded) {
        if (library != NULL)
            library_destroy(f->lua, library);
        return NULL;
    }
    if (replaced != NULL)
        drop_library(f, replaced);
    link_library(f, library);
    return library;
}

/* What keeps libraries from joining the others. */
static bool can_join(const struct functions *f, const struct functions *from, bool replace,
                     struct buf *error)
{
    for (struct library *library = from->first; library != NULL; library = library->next) {
        if (!replace && find_library(f, library->entry.name) != NULL)
            return fail(error, "Library ", library->entry.name, " already exists");
        for (const struct function *function = library->first; function != NULL;
             function = function->next) {
            /* The library that has one of that name may be replaced itself. */
            struct name_entry *entry = name_map_find(&f->functions, function->entry.name);
            if (entry != NULL &&
                find_library(from, function_of(entry)->library->entry.name) == NULL)
                return fail(error, "Function ", bytes_text(function->name), " already exists");
        }
    }
    return true;
}

bool functions_join(struct functions *f, struct functions *from, bool replace, bool flush,
                    struct buf *error)
{
    if (!flush && !can_join(f, from, replace, error))
        return false;
    if (flush)
        functions_clear(f);
    for (struct library *library = from->first; library != NULL; library = library->next)
        (void)functions_delete(f, library->entry.name);
    while (from->first != NULL) {
        struct library *library = from->first;
        unlink_library(from, library);
        link_library(f, library);
    }
    return true;
}

/* ---- Looking ----------------------------------------------------------------------------------
 */

const struct function *functions_find(const struct functions *f, struct bytes name)
{
    struct bytes lower = lower_copy(name);
    struct name_entry *entry = name_map_find(&f->functions, lower);
    free_bytes(lower);
    return function_of(entry);
}

const struct library *functions_first(const struct functions *f)
{
    return f->first;
}

size_t functions_library_count(const struct functions *f)
{
    return f->libraries.count;
}

size_t functions_count(const struct functions *f)
{
    return f->functions.count;
}

size_t functions_bytes(const struct functions *f)
{
    return f->bytes + (f->libraries.capacity + f->functions.capacity) * sizeof(struct name_entry *);
}
