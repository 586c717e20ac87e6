/* Any bytes are refused, or are a listpack that reads the same both ways, finds its entries, and
 * stays valid when it is changed. The same for intsets. */
#include "codec/check.h"
#include "codec/intset.h"
#include "codec/listpack.h"
#include "codec/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_changes(const uint8_t *data, uint32_t at)
{
    char scratch[NUMBER_I64_CHARS_MAX];
    struct listpack lp = listpack_copy(data, 3);
    listpack_replace(&lp, at, listpack_text(listpack_get_text(data, at, scratch)));
    listpack_prepend(&lp, listpack_text(bytes_text("new")));
    (void)listpack_delete_range(&lp, -1, 1);
    listpack_insert_entries(&lp, LISTPACK_HEADER_BYTES, data, listpack_first(data),
                            listpack_end(data), listpack_count(data));
    const uint8_t *changed = listpack_data(&lp);
    uint32_t count;
    CHECK(listpack_validate(bytes_make(changed, listpack_bytes(changed)), &count, NULL) == ST_OK);
    CHECK(count == 2 * listpack_count(data));
    listpack_destroy(&lp);
}

static void check_listpack(const uint8_t *data, uint32_t count)
{
    CHECK(listpack_count(data) == count);
    uint32_t left = count;
    for (uint32_t at = listpack_first(data); at != 0; at = listpack_next(data, at)) {
        char scratch[NUMBER_I64_CHARS_MAX];
        struct bytes text = listpack_get_text(data, at, scratch);
        CHECK(listpack_equal(data, at, text));
        if (left % 64 == 0)
            CHECK(listpack_find(data, listpack_first(data), text, 0) <= at);
        left--;
    }
    CHECK(left == 0);
    for (uint32_t at = listpack_last(data); at != 0; at = listpack_prev(data, at))
        left++;
    CHECK(left == count);
    if (count > 0)
        check_changes(data, listpack_seek(data, count / 2));
}

static void check_intset(const uint8_t *set)
{
    for (uint32_t i = 0; i < intset_count(set); i++)
        CHECK(intset_seek(set, intset_get(set, i)) == i);
    bool changed;
    uint8_t *copy = intset_add(intset_copy(set), -70000, &changed);
    CHECK(intset_count(copy) == intset_count(set) + changed);
    CHECK(intset_validate(bytes_make(copy, intset_bytes(copy)), NULL) == ST_OK);
    mem_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes in = bytes_make(data, size);
    uint32_t count;
    if (listpack_validate(in, &count, NULL) == ST_OK)
        check_listpack(data, count);
    if (intset_validate(in, NULL) == ST_OK)
        check_intset(data);
    return 0;
}
