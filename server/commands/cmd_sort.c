/* SORT and SORT_RO. Source: sort.c of Redis 7.2.
 *
 * The keys that BY and GET name come out of the elements. They are asked for when they are known,
 * so that the client waits for the disk and not the server: first those by which is sorted, then
 * those that are got. The handler begins anew each time. Inside transactions and scripts they are
 * read at once. */
#include "server/call.h"
#include "server/commands/list_edit.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/config.h"
#include "server/exec_access.h"
#include "server/exec_nested.h"
#include "server/notify.h"
#include "server/services.h"
#include "storage/types/hash.h"
#include "storage/types/set.h"
#include "storage/types/string.h"
#include "storage/types/zset.h"

#include "codec/mem.h"
#include "codec/number.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WANTED_AT_ONCE_MAX 65536 /* keys; more are asked for in further rounds */

/* ---- The request. */

struct sort {
    struct call *c;
    bool reads_all; /* the user may read any key */
    bool descending;
    bool alpha;
    bool unsorted; /* BY a pattern that names one key only */
    bool has_by;
    struct bytes by;
    int64_t offset, count;
    int *gets; /* owned: arguments that are patterns */
    int get_count;
    int store_key; /* of the declared keys; 0: none */
    /* The elements and the range of them that is wanted, `last` included. */
    struct item *items;
    int64_t item_count;
    int64_t first, last;
    struct buf texts; /* of the elements, and of what they are sorted by */
    locale_t locale;
};

struct item {
    struct bytes text;
    union {
        double score;
        struct bytes by; /* NULL: there is none. Ends with a NUL */
    };
    int64_t index;
};

static bool parse_pattern_option(struct sort *s, int arg)
{
    struct call *c = s->c;
    bool cluster = c->services->config->cluster_enabled;
    if (call_arg_is(c, arg, "by")) {
        s->has_by = true;
        s->by = c->argv[arg + 1];
        s->unsorted = memchr(s->by.data, '*', s->by.len) == NULL;
        if (!s->unsorted && cluster) {
            reply_error(c->reply, "ERR BY option of SORT denied in Cluster mode.");
            return false;
        }
        if (!s->unsorted && !s->reads_all) {
            reply_error(c->reply,
                        "ERR BY option of SORT denied due to insufficient ACL permissions.");
            return false;
        }
        return true;
    }
    if (cluster) {
        reply_error(c->reply, "ERR GET option of SORT denied in Cluster mode.");
        return false;
    }
    if (!s->reads_all) {
        reply_error(c->reply, "ERR GET option of SORT denied due to insufficient ACL permissions.");
        return false;
    }
    s->gets[s->get_count++] = arg + 1;
    return true;
}

/* Takes the option at `*arg`, and moves it on. */
static bool parse_option(struct sort *s, int *arg, bool readonly)
{
    struct call *c = s->c;
    int more = c->argc - *arg - 1;
    if (call_arg_is(c, *arg, "asc")) {
        s->descending = false;
    } else if (call_arg_is(c, *arg, "desc")) {
        s->descending = true;
    } else if (call_arg_is(c, *arg, "alpha")) {
        s->alpha = true;
    } else if (more >= 2 && call_arg_is(c, *arg, "limit")) {
        if (!call_arg_i64(c, *arg + 1, &s->offset) || !call_arg_i64(c, *arg + 2, &s->count))
            return false;
        *arg += 2;
    } else if (more >= 1 && !readonly && call_arg_is(c, *arg, "store")) {
        s->store_key = 1;
        (*arg)++;
    } else if (more >= 1 && (call_arg_is(c, *arg, "by") || call_arg_is(c, *arg, "get"))) {
        if (!parse_pattern_option(s, *arg))
            return false;
        (*arg)++;
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return false;
    }
    (*arg)++;
    return true;
}

static bool parse(struct sort *s, bool readonly)
{
    const struct call *c = s->c;
    s->reads_all =
        access_is_unrestricted(c->session) ||
        acl_user_check_all_keys(c->session->user, c->command, c->argv, c->argc, KEY_ACCESS);
    for (int arg = 2; arg < c->argc;)
        if (!parse_option(s, &arg, readonly))
            return false;
    return true;
}

/* The last STORE counts. Like Redis's, this does not look whether the options are valid. */
static int keys_of_sort(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    int store = 0;
    for (int i = 2; i < argc; i++) {
        if (bytes_equal_nocase(argv[i], "limit"))
            i += 2;
        else if (bytes_equal_nocase(argv[i], "get") || bytes_equal_nocase(argv[i], "by"))
            i += 1;
        else if (bytes_equal_nocase(argv[i], "store") && i + 1 < argc)
            store = i + 1;
    }
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = KEY_RO | KEY_ACCESS};
    if (max > 1 && store != 0)
        out[1] = (struct key_arg){.index = store, .flags = KEY_OW | KEY_UPDATE | KEY_LOAD_META};
    return store == 0 ? 1 : 2;
}

static int keys_of_sort_ro(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    (void)argv, (void)argc;
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = KEY_RO | KEY_ACCESS};
    return 1;
}

/* ---- Patterns. */

/* What a pattern makes of an element. */
struct target {
    bool itself; /* the pattern is # */
    bool none;   /* it has no asterisk */
    struct buf key;
    struct bytes field; /* of a hash; NULL: the key is to hold a string */
};

static const uint8_t *find_arrow(const uint8_t *from, const uint8_t *end)
{
    for (const uint8_t *at = from; end - at > 2; at++) /* something must follow */
        if (at[0] == '-' && at[1] == '>')
            return at;
    return NULL;
}

/* `target->key` is used again. */
static void substitute(struct bytes pattern, struct bytes element, struct target *target)
{
    target->field = bytes_make(NULL, 0);
    target->itself = pattern.len == 1 && pattern.data[0] == '#';
    const uint8_t *star = pattern.len == 0 ? NULL : memchr(pattern.data, '*', pattern.len);
    target->none = star == NULL;
    if (star == NULL)
        return;
    const uint8_t *end = pattern.data + pattern.len;
    const uint8_t *arrow = find_arrow(star + 1, end);
    if (arrow != NULL) {
        target->field = bytes_make(arrow + 2, (size_t)(end - arrow - 2));
        end = arrow;
    }
    buf_clear(&target->key);
    buf_append(&target->key, pattern.data, (size_t)(star - pattern.data));
    buf_append_bytes(&target->key, element);
    buf_append(&target->key, star + 1, (size_t)(end - star - 1));
}

/* Asks for what a pattern names, if it is a key. */
static void want(struct sort *s, struct bytes pattern, struct bytes element, struct target *target)
{
    substitute(pattern, element, target);
    if (target->itself || target->none)
        return;
    struct call *c = s->c;
    const char *name = target->field.data != NULL ? "hget" : "get";
    const struct command *command = command_find_name(c->services->commands, bytes_text(name));
    if (command == NULL) { /* renamed away: the key without its parts is better than nothing */
        call_want_key(c, c->session->db, buf_bytes(&target->key));
        return;
    }
    const struct bytes argv[3] = {bytes_text(name), buf_bytes(&target->key), target->field};
    struct nested_request request = {.command = command,
                                     .argv = argv,
                                     .argc = target->field.data != NULL ? 3 : 2,
                                     .db = c->session->db};
    call_want(c, &request);
}

static bool look_up_field(const struct sort *s, const struct object *o, struct bytes field,
                          struct buf *out)
{
    struct hash_value value;
    if (o == NULL || o->type != OBJECT_HASH || !hash_get(o, field, &value) ||
        (value.expire_at_ms != OBJECT_NO_EXPIRE && value.expire_at_ms <= s->c->now_ms))
        return false;
    buf_append_bytes(out, value.value);
    return true;
}

/* Appends what a pattern gives for an element; false: nothing. */
static bool look_up(struct sort *s, struct bytes pattern, struct bytes element,
                    struct target *target, struct buf *out)
{
    substitute(pattern, element, target);
    if (target->itself)
        buf_append_bytes(out, element);
    if (target->itself || target->none)
        return target->itself;
    const struct object *o = call_find_undeclared(s->c, buf_bytes(&target->key), false);
    if (target->field.data != NULL)
        return look_up_field(s, o, target->field, out);
    if (o == NULL || o->type != OBJECT_STRING)
        return false;
    string_append_to(o, out);
    return true;
}

/* ---- Elements. */

static uint64_t count_of(const struct object *o)
{
    if (o == NULL)
        return 0;
    if (o->type == OBJECT_LIST)
        return list_length(o);
    return o->type == OBJECT_SET ? set_count(o) : zset_count(o);
}

/* The range that LIMIT leaves of `count` elements; empty: last < first. */
static void limit(struct sort *s, int64_t count)
{
    s->first = s->offset < 0 ? 0 : s->offset < count ? s->offset : count;
    int64_t wanted = s->count < -1 ? -1 : s->count < count ? s->count : count;
    s->last = wanted < 0 ? count - 1 : s->first + wanted - 1;
    if (s->first >= count) {
        s->first = count - 1;
        s->last = count - 2;
    }
    if (s->last >= count)
        s->last = count - 1;
}

/* Texts move while more are read: first only their offsets are noted. */
static void add_item(struct sort *s, struct bytes text)
{
    struct item *item = &s->items[s->item_count];
    *item = (struct item){.text = {.data = NULL, .len = text.len},
                          .by = {.data = NULL, .len = 0},
                          .index = (int64_t)s->texts.len};
    buf_append_bytes(&s->texts, text);
    buf_append_byte(&s->texts, '\0');
    s->item_count++;
}

static void settle_texts(struct sort *s)
{
    for (int64_t i = 0; i < s->item_count; i++) {
        s->items[i].text.data = s->texts.data + s->items[i].index;
        s->items[i].index = i;
    }
}

static void read_list(struct sort *s, const struct object *o, uint64_t from, bool forward,
                      int64_t count)
{
    struct list_iter iter;
    struct listpack_value value;
    char digits[NUMBER_I64_CHARS_MAX];
    list_iter_init(&iter, o, from, forward);
    while (s->item_count < count && list_iter_next(&iter, &value))
        add_item(s, listpack_value_text(&value, digits));
}

static void read_zset(struct sort *s, const struct object *o, uint64_t from, bool forward,
                      int64_t count)
{
    struct zset_walk walk;
    struct bytes member;
    double score;
    zset_walk_init(&walk, o, from, !forward);
    while (s->item_count < count && zset_walk_next(&walk, &member, &score))
        add_item(s, member);
}

static void read_set(struct sort *s, const struct object *o)
{
    struct set_iter iter;
    struct bytes member;
    set_iter_init(&iter, o);
    while (set_iter_next(&iter, &member))
        add_item(s, member);
}

/* Of what has an order of its own only the range is read that is wanted. */
static void read_elements(struct sort *s, const struct object *o)
{
    int64_t count = (int64_t)count_of(o);
    limit(s, count);
    if (count == 0)
        return;
    bool ordered = s->unsorted && o->type != OBJECT_SET;
    bool backward = ordered && s->descending;
    uint64_t from = 0;
    int64_t wanted = count;
    if (ordered) {
        wanted = s->last - s->first + 1;
        from = (uint64_t)(backward ? count - 1 - s->first : s->first);
        s->first = 0;
        s->last = wanted - 1;
    }
    s->items = mem_alloc((size_t)(wanted == 0 ? 1 : wanted) * sizeof(*s->items));
    if (wanted != 0 && o->type == OBJECT_LIST)
        read_list(s, o, from, !backward, wanted);
    else if (wanted != 0 && o->type == OBJECT_ZSET)
        read_zset(s, o, from, !backward, wanted);
    else if (wanted != 0)
        read_set(s, o);
    settle_texts(s);
}

/* ---- Sorting. */

/* As strtod() reads it; an empty text counts as 0. `text` ends with a NUL. */
static bool parse_score(struct bytes text, double *out)
{
    if (number_parse_f64(text, out))
        return true;
    char *end;
    errno = 0;
    *out = strtod((const char *)text.data, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*out);
}

static bool score_items(struct sort *s)
{
    struct target target = {0};
    struct buf text = {0};
    bool valid = true;
    for (int64_t i = 0; i < s->item_count; i++) {
        struct item *item = &s->items[i];
        struct bytes number = item->text;
        item->score = 0;
        if (s->has_by) {
            buf_clear(&text);
            if (!look_up(s, s->by, item->text, &target, &text))
                continue;
            buf_append_byte(&text, '\0');
            number = bytes_make(text.data, text.len - 1);
        }
        if (!parse_score(number, &item->score))
            valid = false;
    }
    buf_deinit(&text);
    buf_deinit(&target.key);
    return valid;
}

static void find_sort_texts(struct sort *s)
{
    struct target target = {0};
    struct buf text = {0};
    for (int64_t i = 0; i < s->item_count; i++) {
        struct item *item = &s->items[i];
        buf_clear(&text);
        item->by = bytes_make(NULL, 0);
        if (!look_up(s, s->by, item->text, &target, &text))
            continue;
        size_t len = text.len;
        buf_append_byte(&text, '\0');
        item->by = bytes_make(mem_dup(text.data, len + 1), len);
    }
    buf_deinit(&text);
    buf_deinit(&target.key);
}

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* What is stored is sorted by bytes, so that it does not depend on the machine. */
static int compare_texts(const struct sort *s, struct bytes a, struct bytes b)
{
    if (s->store_key != 0 || s->locale == (locale_t)0)
        return compare_bytes(a, b);
    return strcoll_l((const char *)a.data, (const char *)b.data, s->locale);
}

static int compare_keys(const struct sort *s, const struct item *a, const struct item *b)
{
    if (!s->alpha)
        return a->score != b->score ? (a->score > b->score ? 1 : -1)
                                    : compare_bytes(a->text, b->text);
    if (!s->has_by)
        return compare_texts(s, a->text, b->text);
    if (a->by.data == NULL || b->by.data == NULL)
        return (a->by.data != NULL) - (b->by.data != NULL);
    return compare_texts(s, a->by, b->by);
}

/* Equal ones stay in their order. */
static int compare(const void *left, const void *right, void *arg)
{
    const struct item *a = left, *b = right;
    const struct sort *s = arg;
    int order = compare_keys(s, a, b);
    if (order == 0)
        return (a->index > b->index) - (a->index < b->index);
    return s->descending ? -order : order;
}

/* False: some element, or what it is sorted by, is no number. */
static bool sort_items(struct sort *s)
{
    if (s->unsorted || s->item_count == 0)
        return true;
    if (!s->alpha && !score_items(s))
        return false;
    if (s->alpha && s->has_by)
        find_sort_texts(s);
    if (s->alpha)
        s->locale = newlocale(LC_COLLATE_MASK, s->c->services->config->locale_collate, (locale_t)0);
    qsort_r(s->items, (size_t)s->item_count, sizeof(*s->items), compare, s);
    return true;
}

/* ---- Loading beforehand. */

/* False: the handler must return. */
static bool load_sort_keys(struct sort *s)
{
    if (!s->has_by || s->unsorted)
        return true;
    struct target target = {0};
    int64_t from = 0;
    while (from < s->item_count && s->c->wanted == 0) {
        int64_t to =
            s->item_count - from > WANTED_AT_ONCE_MAX ? from + WANTED_AT_ONCE_MAX : s->item_count;
        for (; from < to; from++)
            want(s, s->by, s->items[from].text, &target);
    }
    buf_deinit(&target.key);
    return call_wanted(s->c);
}

static bool load_got_keys(struct sort *s)
{
    struct target target = {0};
    int64_t asked = 0;
    for (int64_t i = s->first; i <= s->last; i++) {
        for (int g = 0; g < s->get_count; g++, asked++)
            want(s, s->c->argv[s->gets[g]], s->items[i].text, &target);
        if (asked >= WANTED_AT_ONCE_MAX && s->c->wanted != 0)
            break;
    }
    buf_deinit(&target.key);
    return call_wanted(s->c);
}

/* ---- Results. */

static uint64_t result_count(const struct sort *s)
{
    uint64_t rows = (uint64_t)(s->last - s->first + 1);
    return s->get_count == 0 ? rows : rows * (uint64_t)s->get_count;
}

static void reply_results(struct sort *s)
{
    struct reply *reply = s->c->reply;
    struct target target = {0};
    struct buf text = {0};
    reply_array(reply, result_count(s));
    for (int64_t i = s->first; i <= s->last; i++) {
        if (s->get_count == 0)
            reply_bulk(reply, s->items[i].text);
        for (int g = 0; g < s->get_count; g++) {
            buf_clear(&text);
            if (look_up(s, s->c->argv[s->gets[g]], s->items[i].text, &target, &text))
                reply_bulk(reply, buf_bytes(&text));
            else
                reply_null(reply);
        }
    }
    buf_deinit(&text);
    buf_deinit(&target.key);
}

/* Fills a list; nothing of the keyspace may be called meanwhile, so what is got is got before. */
static void fill_list(struct sort *s, struct keyref *key, const struct buf *texts,
                      const size_t *lens, uint64_t count)
{
    struct call *c = s->c;
    struct list_rules rules = list_rules_of(c);
    struct object *o = ks_create(c->ks, key, OBJECT_LIST);
    ks_change_begin(c->ks, key->db, o);
    list_init(o);
    list_will_grow(o, &rules, texts->len, count);
    size_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        list_push(o, &rules, LIST_TAIL, bytes_make(texts->data + at, lens[i]));
        at += lens[i];
    }
    list_was_built(o, &rules);
    list_commit(c, key, o);
}

static void store_results(struct sort *s)
{
    struct call *c = s->c;
    struct keyref *key = &c->keys[s->store_key];
    uint64_t count = result_count(s);
    bool existed = call_find_write(c, s->store_key) != NULL;
    if (count == 0) {
        if (existed) {
            ks_delete(c->ks, key);
            call_key_modified(c, key);
            call_notify(c, NOTIFY_GENERIC, "del", key->key);
            call_changed(c, 1);
        }
        reply_integer(c->reply, 0);
        return;
    }
    struct target target = {0};
    struct buf texts = {0};
    size_t *lens = mem_alloc(count * sizeof(*lens));
    uint64_t n = 0;
    for (int64_t i = s->first; i <= s->last; i++) {
        if (s->get_count == 0) {
            buf_append_bytes(&texts, s->items[i].text);
            lens[n++] = s->items[i].text.len;
        }
        for (int g = 0; g < s->get_count; g++) {
            size_t before = texts.len;
            (void)look_up(s, c->argv[s->gets[g]], s->items[i].text, &target, &texts);
            lens[n++] = texts.len - before;
        }
    }
    fill_list(s, key, &texts, lens, count);
    mem_free(lens);
    buf_deinit(&texts);
    buf_deinit(&target.key);
    call_notify(c, NOTIFY_LIST, "sortstore", key->key);
    call_changed(c, count);
    reply_integer(c->reply, (int64_t)count);
}

/* ---- The commands. */

static void run(struct sort *s)
{
    struct call *c = s->c;
    const struct object *o = call_find_read(c, 0);
    if (o != NULL && o->type != OBJECT_LIST && o->type != OBJECT_SET && o->type != OBJECT_ZSET) {
        reply_error_id(c->reply, ERROR_WRONGTYPE);
        return;
    }
    /* A set has no order. What scripts see, and what is stored, is to be the same everywhere. */
    bool in_script = (c->session->flags & SESSION_SCRIPT) != 0;
    if (s->unsorted && o != NULL && o->type == OBJECT_SET && (s->store_key != 0 || in_script)) {
        s->unsorted = false;
        s->alpha = true;
        s->has_by = false;
    }
    read_elements(s, o);
    if (!load_sort_keys(s))
        return;
    if (!sort_items(s)) {
        reply_error(c->reply, "ERR One or more scores can't be converted into double");
        return;
    }
    if (!load_got_keys(s))
        return;
    if (s->store_key != 0)
        store_results(s);
    else
        reply_results(s);
}

static void sort(struct call *c, bool readonly)
{
    struct sort s = {.c = c, .count = -1};
    s.gets = mem_alloc((size_t)c->argc * sizeof(*s.gets));
    if (parse(&s, readonly))
        run(&s);
    for (int64_t i = 0; s.alpha && s.has_by && i < s.item_count; i++)
        mem_free((void *)(uintptr_t)s.items[i].by.data);
    if (s.locale != (locale_t)0)
        freelocale(s.locale);
    buf_deinit(&s.texts);
    mem_free(s.items);
    mem_free(s.gets);
}

static void cmd_sort(struct call *c)
{
    sort(c, false);
}

static void cmd_sort_ro(struct call *c)
{
    sort(c, true);
}

const struct command cmd_sort_table[] = {
    {.name = "sort",
     .handler = cmd_sort,
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS),
              {.flags = KEY_RO | KEY_ACCESS,
               .begin = KEY_BEGIN_UNKNOWN,
               .find = KEY_FIND_UNKNOWN,
               .notes = "For the optional BY/GET keyword. It is marked 'unknown' because the key "
                        "names derive from the content of the key we sort"},
              {.flags = KEY_OW | KEY_UPDATE,
               .begin = KEY_BEGIN_UNKNOWN,
               .find = KEY_FIND_UNKNOWN,
               .notes = "For the optional STORE keyword. It is marked 'unknown' because the "
                        "keyword can appear anywhere in the argument array"}},
     .keys_fn = keys_of_sort,
     .group = "generic",
     .since = "1.0.0",
     .complexity =
         "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the "
         "number of returned elements. When the elements are not sorted, complexity is O(N).",
     .summary =
         "Sorts the elements in a list, a set, or a sorted set, optionally storing the result.",
     .args = ARGS(
         ARG("key", KEY),
         ARG("by-pattern", PATTERN, .flags = ARG_OPTIONAL, .key_spec_index = 1, .token = "BY",
             .display = "pattern"),
         ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
             .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER))),
         ARG("get-pattern", PATTERN, .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN,
             .key_spec_index = 1, .token = "GET", .display = "pattern"),
         ARG("order", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
         TOKEN("sorting", "ALPHA", .flags = ARG_OPTIONAL),
         ARG("destination", KEY, .flags = ARG_OPTIONAL, .key_spec_index = 2, .token = "STORE"))},
    {.name = "sort_ro",
     .handler = cmd_sort_ro,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS),
              {.flags = KEY_RO | KEY_ACCESS,
               .begin = KEY_BEGIN_UNKNOWN,
               .find = KEY_FIND_UNKNOWN,
               .notes = "For the optional BY/GET keyword. It is marked 'unknown' because the key "
                        "names derive from the content of the key we sort"}},
     .keys_fn = keys_of_sort_ro,
     .group = "generic",
     .since = "7.0.0",
     .complexity =
         "O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the "
         "number of returned elements. When the elements are not sorted, complexity is O(N).",
     .summary = "Returns the sorted elements of a list, a set, or a sorted set.",
     .args =
         ARGS(ARG("key", KEY),
              ARG("by-pattern", PATTERN, .flags = ARG_OPTIONAL, .key_spec_index = 1, .token = "BY",
                  .display = "pattern"),
              ARG("limit", BLOCK, .flags = ARG_OPTIONAL, .token = "LIMIT",
                  .children = ARGS(ARG("offset", INTEGER), ARG("count", INTEGER))),
              ARG("get-pattern", PATTERN, .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN,
                  .key_spec_index = 1, .token = "GET", .display = "pattern"),
              ARG("order", ONEOF, .flags = ARG_OPTIONAL,
                  .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
              TOKEN("sorting", "ALPHA", .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
