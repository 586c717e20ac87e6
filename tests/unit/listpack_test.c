/* Goal: a listpack holds what was put into it, in Redis's bytes, through every change; and damaged
 * bytes are refused or read within their bounds.
 * Method: golden bytes as Redis writes them; both sides of each limit of the format; random changes
 * against a plain array of texts; every truncation and every changed byte of a listpack with all
 * kinds of entries. */
#include "tests/support/harness.h"

#include "codec/listpack.h"
#include "codec/mem.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))
#define MODEL_ENTRIES_MAX 400
#define HEAD_BYTES        5 /* odd on purpose */

static struct bytes raw(const struct listpack *lp)
{
    return bytes_make(listpack_data(lp), listpack_bytes(listpack_data(lp)));
}

static void bytes_are_those_of_redis(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint8_t entry[12];
        size_t len;
    } cases[] = {
        {"0", {0x00, 0x01}, 2},
        {"127", {0x7f, 0x01}, 2},
        {"128", {0xc0, 0x80, 0x02}, 3},
        {"4095", {0xcf, 0xff, 0x02}, 3},
        {"-1", {0xdf, 0xff, 0x02}, 3},
        {"-4096", {0xd0, 0x00, 0x02}, 3},
        {"4096", {0xf1, 0x00, 0x10, 0x03}, 4},
        {"-4097", {0xf1, 0xff, 0xef, 0x03}, 4},
        {"-32768", {0xf1, 0x00, 0x80, 0x03}, 4},
        {"32768", {0xf2, 0x00, 0x80, 0x00, 0x04}, 5},
        {"-8388608", {0xf2, 0x00, 0x00, 0x80, 0x04}, 5},
        {"8388608", {0xf3, 0x00, 0x00, 0x80, 0x00, 0x05}, 6},
        {"-2147483648", {0xf3, 0x00, 0x00, 0x00, 0x80, 0x05}, 6},
        {"2147483648", {0xf4, 0, 0, 0, 0x80, 0, 0, 0, 0, 0x09}, 10},
        {"-9223372036854775808", {0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x09}, 10},
        {"", {0x80, 0x01}, 2},
        {"abc", {0x83, 'a', 'b', 'c', 0x04}, 5},
        {"01", {0x82, '0', '1', 0x03}, 4},
        {"-0", {0x82, '-', '0', 0x03}, 4},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct listpack lp = listpack_create(0);
        struct listpack_value value = listpack_text(bytes_text(cases[i].text));
        listpack_append(&lp, value);
        uint8_t whole[32] = {(uint8_t)(cases[i].len + 7), 0, 0, 0, 1, 0};
        memcpy(whole + 6, cases[i].entry, cases[i].len);
        whole[6 + cases[i].len] = 0xff;
        assert_bytes(raw(&lp), bytes_make(whole, cases[i].len + 7));
        assert_int_equal(listpack_entry_bytes(&value), cases[i].len);
        char scratch[NUMBER_I64_CHARS_MAX];
        assert_bytes(
            listpack_get_text(listpack_data(&lp), listpack_first(listpack_data(&lp)), scratch),
            bytes_text(cases[i].text));
        listpack_destroy(&lp);
    }
}

/* Entries on both sides of each length limit, walked both ways. */
static void texts_of_any_length_are_walked_both_ways(void **state)
{
    (void)state;
    static const size_t lens[] = {0,     1,     62,    63,    64,      65,      124,     125,
                                  126,   127,   4094,  4095,  4096,    4097,    16376,   16377,
                                  16378, 16379, 16380, 65535, 2097145, 2097146, 2097147, 300};
    uint8_t *text = mem_alloc(2097147);
    memset(text, 'x', 2097147);
    struct listpack lp = listpack_create(HEAD_BYTES);
    for (size_t i = 0; i < COUNT_OF(lens); i++)
        listpack_append(&lp, listpack_text(bytes_make(text, lens[i])));
    const uint8_t *data = listpack_data(&lp);
    uint32_t count = 0;
    assert_ok(listpack_validate(raw(&lp), &count, NULL), NULL);
    assert_int_equal(count, COUNT_OF(lens));
    uint32_t at = listpack_first(data);
    char scratch[NUMBER_I64_CHARS_MAX];
    for (size_t i = 0; i < COUNT_OF(lens); i++, at = listpack_next(data, at))
        assert_int_equal(listpack_get_text(data, at, scratch).len, lens[i]);
    assert_int_equal(at, 0);
    at = listpack_last(data);
    for (size_t i = COUNT_OF(lens); i-- > 0; at = listpack_prev(data, at))
        assert_int_equal(listpack_get_text(data, at, scratch).len, lens[i]);
    assert_int_equal(at, 0);
    listpack_destroy(&lp);
    mem_free(text);
}

static void an_empty_listpack_has_no_entries(void **state)
{
    (void)state;
    struct listpack lp = listpack_create(HEAD_BYTES);
    const uint8_t *data = listpack_data(&lp);
    assert_ok(listpack_validate(raw(&lp), NULL, NULL), NULL);
    assert_true(listpack_is_empty(data));
    assert_int_equal(listpack_count(data), 0);
    assert_int_equal(listpack_first(data), 0);
    assert_int_equal(listpack_last(data), 0);
    assert_int_equal(listpack_seek(data, 0), 0);
    assert_int_equal(listpack_seek(data, -1), 0);
    assert_int_equal(listpack_find(data, listpack_first(data), bytes_text("a"), 0), 0);
    assert_int_equal(listpack_delete_range(&lp, 0, 1), 0);
    listpack_destroy(&lp);
}

static void counts_beyond_16_bits_are_found_by_walking(void **state)
{
    (void)state;
    struct listpack lp = listpack_create(0);
    struct listpack_value some[5];
    for (size_t i = 0; i < COUNT_OF(some); i++)
        some[i] = listpack_integer((int64_t)i);
    for (uint32_t i = 0; i < 65530; i += 5)
        listpack_splice(&lp, listpack_end(listpack_data(&lp)), 0, some, 5);
    listpack_splice(&lp, LISTPACK_HEADER_BYTES, 0, some, 4);
    assert_int_equal(load_le16(listpack_data(&lp) + 4), 65534);
    assert_int_equal(listpack_count(listpack_data(&lp)), 65534);
    listpack_append(&lp, listpack_integer(7));
    assert_int_equal(load_le16(listpack_data(&lp) + 4), 65535);
    listpack_append(&lp, listpack_integer(8));
    assert_int_equal(listpack_count(listpack_data(&lp)), 65536);
    uint32_t count = 0;
    assert_ok(listpack_validate(raw(&lp), &count, NULL), NULL);
    assert_int_equal(count, 65536);
    struct listpack_value value;
    listpack_get(listpack_data(&lp), listpack_seek(listpack_data(&lp), -2), &value);
    assert_int_equal(value.integer, 7);
    listpack_get(listpack_data(&lp), listpack_seek(listpack_data(&lp), 65535), &value);
    assert_int_equal(value.integer, 8);
    assert_int_equal(listpack_seek(listpack_data(&lp), 65536), 0);
    assert_int_equal(listpack_delete_range(&lp, 0, 2), 2);
    assert_int_equal(listpack_count(listpack_data(&lp)), 65534);
    assert_int_equal(listpack_delete_range(&lp, 0, 10), 10);
    assert_int_equal(load_le16(listpack_data(&lp) + 4), 65524); /* known again */
    listpack_destroy(&lp);
}

static void integers_of_any_width_are_found_by_their_text(void **state)
{
    (void)state;
    /* 5 spelled in 64 bits, and "6" as a text: valid, though we would write neither. */
    static const uint8_t bytes[] = {22, 0, 0, 0, 3, 0,    0xf4, 5, 0, 0, 0,
                                    0,  0, 0, 0, 9, 0x81, '6',  2, 1, 1, 0xff};
    assert_ok(listpack_validate(bytes_make(bytes, sizeof(bytes)), NULL, NULL), NULL);
    uint32_t first = listpack_first(bytes);
    assert_int_equal(listpack_find(bytes, first, bytes_text("5"), 0), 6);
    assert_int_equal(listpack_find(bytes, first, bytes_text("6"), 0), 16);
    assert_int_equal(listpack_find(bytes, first, bytes_text("1"), 0), 19);
    assert_int_equal(listpack_find(bytes, first, bytes_text("1"), 1), 19);
    assert_int_equal(listpack_find(bytes, first, bytes_text("6"), 1), 0);
    assert_int_equal(listpack_find(bytes, first, bytes_text("05"), 0), 0);
}

/* --- Random changes against a model --- */

struct model {
    char text[MODEL_ENTRIES_MAX][160];
    size_t len[MODEL_ENTRIES_MAX];
    size_t count;
};

static struct bytes model_text(const struct model *m, size_t i)
{
    return bytes_make(m->text[i], m->len[i]);
}

static struct listpack_value random_value(char out[160])
{
    switch (rand() % 5) {
    case 0:
        return listpack_text(bytes_make(out, (size_t)snprintf(out, 160, "%d", rand() % 300 - 150)));
    case 1: {
        int64_t integer = (int64_t)((uint64_t)rand() << (rand() % 34)) * (rand() % 2 ? 1 : -1);
        (void)snprintf(out, 160, "%lld", (long long)integer);
        return listpack_integer(integer);
    }
    case 2: {
        size_t len = (size_t)(rand() % 160);
        memset(out, 'a' + rand() % 3, len);
        return listpack_text(bytes_make(out, len));
    }
    default:
        return listpack_text(bytes_make(out, (size_t)snprintf(out, 160, "f:%d", rand() % 90)));
    }
}

static void model_splice(struct model *m, size_t index, size_t removed,
                         const struct listpack_value *values, size_t count)
{
    size_t tail = m->count - index - removed;
    memmove(m->text + index + count, m->text + index + removed, tail * sizeof(m->text[0]));
    memmove(m->len + index + count, m->len + index + removed, tail * sizeof(m->len[0]));
    for (size_t i = 0; i < count; i++) {
        char scratch[NUMBER_I64_CHARS_MAX];
        struct bytes text = listpack_value_text(&values[i], scratch);
        if (text.len > 0)
            memcpy(m->text[index + i], text.data, text.len);
        m->len[index + i] = text.len;
    }
    m->count = m->count - removed + count;
}

static void assert_is_model(const struct listpack *lp, const struct model *m)
{
    const uint8_t *data = listpack_data(lp);
    struct err err = {0};
    uint32_t count = 0;
    assert_ok(listpack_validate(raw(lp), &count, &err), &err);
    assert_int_equal(count, m->count);
    assert_int_equal(listpack_count(data), m->count);
    char scratch[NUMBER_I64_CHARS_MAX];
    uint32_t at = listpack_first(data);
    for (size_t i = 0; i < m->count; i++, at = listpack_next(data, at)) {
        assert_bytes(listpack_get_text(data, at, scratch), model_text(m, i));
        assert_true(listpack_equal(data, at, model_text(m, i)));
    }
    assert_int_equal(at, 0);
}

static void check_searches(const struct listpack *lp, const struct model *m)
{
    const uint8_t *data = listpack_data(lp);
    char text[160];
    char scratch[NUMBER_I64_CHARS_MAX];
    struct listpack_value value = random_value(text);
    struct bytes wanted = listpack_value_text(&value, scratch);
    uint32_t skip = (uint32_t)(rand() % 3);
    size_t found = 0;
    while (found < m->count && !bytes_equal(model_text(m, found), wanted))
        found += 1 + skip;
    uint32_t at = listpack_find(data, listpack_first(data), wanted, skip);
    assert_int_equal(at, found < m->count ? listpack_seek(data, (int64_t)found) : 0);
    if (m->count == 0)
        return;
    int64_t index = rand() % (int64_t)m->count;
    at = listpack_seek(data, index);
    assert_true(listpack_equal(data, at, model_text(m, (size_t)index)));
    assert_int_equal(listpack_seek(data, index - (int64_t)m->count), at);
    assert_int_equal(listpack_seek(data, (int64_t)m->count), 0);
    assert_int_equal(listpack_seek(data, -(int64_t)m->count - 1), 0);
    uint32_t prev = listpack_prev(data, at);
    assert_int_equal(prev, index == 0 ? 0 : listpack_seek(data, index - 1));
}

static uint32_t at_index(const struct listpack *lp, size_t index)
{
    const uint8_t *data = listpack_data(lp);
    return index == listpack_count(data) ? listpack_end(data) : listpack_seek(data, (int64_t)index);
}

static void delete_some(struct listpack *lp, struct model *m)
{
    uint32_t ats[MODEL_ENTRIES_MAX] = {0};
    size_t indexes[MODEL_ENTRIES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (rand() % 4 != 0)
            continue;
        indexes[count] = i;
        ats[count++] = at_index(lp, i);
    }
    listpack_delete_each(lp, ats, count);
    while (count-- > 0)
        model_splice(m, indexes[count], 1, NULL, 0);
}

/* Moves a stretch of entries from one place to another by way of a second listpack. */
static void move_stretch(struct listpack *lp, struct model *m)
{
    size_t from = (size_t)rand() % (m->count + 1);
    size_t count = (size_t)rand() % (m->count - from + 1);
    struct listpack copy = listpack_copy(listpack_data(lp), 3);
    struct listpack_value values[MODEL_ENTRIES_MAX];
    static char texts[MODEL_ENTRIES_MAX][160];
    for (size_t i = 0; i < count; i++) {
        memcpy(texts[i], m->text[from + i], 160);
        values[i] = listpack_text(bytes_make(texts[i], m->len[from + i]));
    }
    uint32_t from_at = at_index(&copy, from);
    uint32_t to_at = at_index(&copy, from + count);
    size_t removed = listpack_delete_range(lp, (int64_t)from, (uint32_t)count);
    assert_int_equal(removed, count);
    model_splice(m, from, count, NULL, 0);
    size_t to = (size_t)rand() % (m->count + 1);
    listpack_insert_entries(lp, at_index(lp, to), listpack_data(&copy), from_at, to_at,
                            (uint32_t)count);
    model_splice(m, to, 0, values, count);
    listpack_destroy(&copy);
}

static void random_change(struct listpack *lp, struct model *m)
{
    static char texts[12][160];
    struct listpack_value values[12];
    size_t index = (size_t)rand() % (m->count + 1);
    size_t removed = 0;
    size_t count = 0;
    switch (rand() % 8) {
    case 0:
        delete_some(lp, m);
        return;
    case 1:
        move_stretch(lp, m);
        return;
    case 2:
        removed = (size_t)rand() % (m->count - index + 1);
        break;
    case 3:
        removed = index < m->count;
        count = removed;
        break;
    default:
        count = (size_t)rand() % 12;
        break;
    }
    if (m->count + count > MODEL_ENTRIES_MAX) {
        removed = m->count - index;
        count = 0;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = random_value(texts[i]);
    listpack_splice(lp, at_index(lp, index), (uint32_t)removed, values, count);
    model_splice(m, index, removed, values, count);
}

static void random_changes_are_those_of_an_array(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 20; seed++) {
        srand(seed);
        struct model *m = mem_calloc(1, sizeof(*m));
        struct listpack lp = listpack_create(HEAD_BYTES);
        memset(lp.block, 0xa5, HEAD_BYTES);
        for (int i = 0; i < 300; i++) {
            random_change(&lp, m);
            assert_is_model(&lp, m);
            check_searches(&lp, m);
            for (int k = 0; k < HEAD_BYTES; k++)
                assert_int_equal(lp.block[k], 0xa5);
        }
        listpack_destroy(&lp);
        mem_free(m);
    }
}

static void memory_is_no_more_than_the_bytes_need(void **state)
{
    (void)state;
    struct listpack lp = listpack_create(0);
    for (int i = 0; i < 2000; i++)
        listpack_append(&lp, listpack_text(bytes_text("some text of an entry")));
    assert_true(mem_usable_size(lp.block) <= mem_good_size(raw(&lp).len) + 16);
    assert_int_equal(listpack_delete_range(&lp, 5, 1990), 1990);
    assert_true(mem_usable_size(lp.block) <= mem_good_size(raw(&lp).len) + 16);
    listpack_reserve(&lp, 100000);
    assert_true(mem_usable_size(lp.block) >= 100000);
    listpack_shrink(&lp);
    assert_true(mem_usable_size(lp.block) <= mem_good_size(raw(&lp).len) + 16);
    listpack_destroy(&lp);
}

/* --- Damage --- */

/* Walks all of what was found valid; a sanitizer sees any step outside. */
static void read_all(struct bytes in)
{
    uint8_t *data = mem_dup(in.data, in.len); /* of exactly that size */
    uint32_t count = 0;
    uint64_t sum = 0;
    for (uint32_t at = listpack_first(data); at != 0; at = listpack_next(data, at)) {
        struct listpack_value value;
        listpack_get(data, at, &value);
        for (size_t i = 0; !value.is_integer && i < value.text.len; i++)
            sum += value.text.data[i];
        sum += (uint64_t)value.integer;
        count++;
    }
    for (uint32_t at = listpack_last(data); at != 0; at = listpack_prev(data, at))
        count--;
    assert_int_equal(count, 0);
    (void)listpack_find(data, listpack_first(data), bytes_make(&sum, sizeof(sum)), 0);
    mem_free(data);
}

static struct listpack listpack_of_all_kinds(void)
{
    char text[5000];
    memset(text, 't', sizeof(text));
    struct listpack lp = listpack_create(0);
    static const int64_t integers[] = {0, 127, 128, -4096, 30000, -8000000, 2000000000, INT64_MIN};
    for (size_t i = 0; i < COUNT_OF(integers); i++)
        listpack_append(&lp, listpack_integer(integers[i]));
    static const size_t lens[] = {0, 3, 63, 64, 300, 4096};
    for (size_t i = 0; i < COUNT_OF(lens); i++)
        listpack_append(&lp, listpack_text(bytes_make(text, lens[i])));
    return lp;
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    struct listpack lp = listpack_of_all_kinds();
    struct bytes all = raw(&lp);
    for (size_t len = 0; len < all.len; len++) {
        uint8_t *cut = mem_dup(all.data, len);
        assert_status(listpack_validate(bytes_make(cut, len), NULL, NULL), ST_CORRUPT);
        if (len >= 4) { /* also when the header says that no more was meant */
            store_le32(cut, (uint32_t)len);
            assert_status(listpack_validate(bytes_make(cut, len), NULL, NULL), ST_CORRUPT);
        }
        mem_free(cut);
    }
    listpack_destroy(&lp);
}

static void every_changed_byte_is_refused_or_readable(void **state)
{
    (void)state;
    struct listpack lp = listpack_of_all_kinds();
    struct bytes all = raw(&lp);
    uint8_t *changed = mem_dup(all.data, all.len);
    for (size_t i = 0; i < all.len; i++) {
        for (unsigned value = 0; value < 256; value += i < 700 || i + 20 > all.len ? 1 : 85) {
            changed[i] = (uint8_t)value;
            uint32_t count;
            if (listpack_validate(bytes_make(changed, all.len), &count, NULL) == ST_OK)
                read_all(bytes_make(changed, all.len));
        }
        changed[i] = all.data[i];
    }
    mem_free(changed);
    listpack_destroy(&lp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_are_those_of_redis),
        TEST(texts_of_any_length_are_walked_both_ways),
        TEST(an_empty_listpack_has_no_entries),
        TEST(counts_beyond_16_bits_are_found_by_walking),
        TEST(integers_of_any_width_are_found_by_their_text),
        TEST(random_changes_are_those_of_an_array),
        TEST(memory_is_no_more_than_the_bytes_need),
        TEST(every_truncation_is_refused),
        TEST(every_changed_byte_is_refused_or_readable),
    };
    return RUN_TESTS("listpack", tests);
}
