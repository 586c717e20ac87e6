/* Goal: sparse and dense registers hold what was added, estimates are good, and damaged bytes are
 * found out. Method: random elements against an array of registers that is raised one by one; every
 * truncation and many random damages. That the bytes are Redis's is shown by the transcripts. */
#include "tests/support/harness.h"

#include "storage/types/hyperloglog.h"

#include "codec/mem.h"

#include <string.h>

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static struct hll_registers *read_registers(const struct buf *hll)
{
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    assert_true(hll_merge(registers, buf_bytes(hll)));
    return registers;
}

static void raised_registers_are_those_of_the_model(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 40; round++) {
        uint64_t seed = round * 7919;
        uint8_t *model = mem_calloc(1, HLL_REGISTERS);
        struct buf hll = {0};
        hll_create(&hll);
        size_t bytes_max = 100 * round;
        uint32_t spread = round % 2 == 0 ? HLL_REGISTERS : 200; /* dense neighbours meet merging */
        for (int n = 0; n < 1500; n++) {
            uint32_t index = (uint32_t)(random_next(&seed) % spread);
            uint8_t value = (uint8_t)(random_next(&seed) % (n % 50 == 49 ? 51 : 4) + 1);
            enum hll_added added = hll_raise(&hll, index, value, bytes_max);
            assert_int_equal(added, model[index] < value ? HLL_CHANGED : HLL_UNCHANGED);
            if (model[index] < value)
                model[index] = value;
        }
        struct hll_registers *registers = read_registers(&hll);
        assert_memory_equal(registers->values, model, HLL_REGISTERS);
        mem_free(registers);
        assert_true(hll_to_dense(&hll));
        assert_int_equal(hll.len, HLL_DENSE_BYTES);
        registers = read_registers(&hll);
        assert_memory_equal(registers->values, model, HLL_REGISTERS);
        mem_free(registers);
        mem_free(model);
        buf_deinit(&hll);
    }
}

static void dense_change_in_place_equals_adding(void **state)
{
    (void)state;
    struct buf added = {0};
    struct buf changed = {0};
    hll_create(&added);
    hll_create(&changed);
    assert_true(hll_to_dense(&added));
    assert_true(hll_to_dense(&changed));
    for (uint64_t n = 0; n < 30000; n++) {
        size_t off;
        uint8_t bytes[2];
        struct bytes element = bytes_make(&n, sizeof(n));
        bool changes = hll_dense_change(buf_bytes(&changed), element, &off, bytes);
        if (changes) {
            assert_true(off >= HLL_HEADER_BYTES && off + 2 <= HLL_DENSE_BYTES);
            memcpy(changed.data + off, bytes, 2);
        }
        assert_int_equal(hll_add(&added, element, 0), changes ? HLL_CHANGED : HLL_UNCHANGED);
    }
    assert_memory_equal(added.data, changed.data, HLL_DENSE_BYTES);
    buf_deinit(&added);
    buf_deinit(&changed);
}

static void estimate_is_within_four_standard_errors(void **state)
{
    (void)state;
    struct buf hll = {0};
    hll_create(&hll);
    for (uint64_t n = 1; n <= 300000; n++) {
        uint64_t number = n * UINT64_C(0x9e3779b97f4a7c15);
        assert_int_not_equal(hll_add(&hll, bytes_make(&number, sizeof(number)), 3000), HLL_DAMAGED);
        if ((n & (n - 1)) != 0 && n != 300000)
            continue;
        struct hll_registers *registers = read_registers(&hll);
        uint64_t estimate = hll_estimate(registers);
        uint64_t off = estimate > n ? estimate - n : n - estimate;
        if (off > n / 30 + 1)
            fail_msg("estimate %llu of %llu", (unsigned long long)estimate, (unsigned long long)n);
        mem_free(registers);
    }
    buf_deinit(&hll);
}

static void use(struct bytes bytes)
{
    if (!hll_is_valid(bytes))
        return;
    struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
    struct buf hll = {0};
    buf_append_bytes(&hll, bytes);
    bool sound = hll_merge(registers, bytes);
    (void)hll_estimate(registers);
    for (uint32_t n = 0; n < 20; n++)
        (void)hll_add(&hll, bytes_make(&n, sizeof(n)), n % 2 == 0 ? 20 : 3000);
    struct buf text = {0};
    if (!hll_is_dense(bytes))
        hll_describe(bytes, &text);
    assert_true(hll_to_dense(&hll) || !sound);
    buf_deinit(&text);
    buf_deinit(&hll);
    mem_free(registers);
}

static void damaged_bytes_are_found_out_or_harmless(void **state)
{
    (void)state;
    struct buf hll = {0};
    hll_create(&hll);
    for (uint32_t n = 0; n < 300; n++)
        (void)hll_add(&hll, bytes_make(&n, sizeof(n)), 3000);
    for (size_t len = 0; len < hll.len; len++) {
        uint8_t *exact = mem_alloc(len + 1); /* so that a reader past the end is seen */
        uint8_t *copy = mem_realloc(exact, len == 0 ? 1 : len);
        memcpy(copy, hll.data, len);
        use(bytes_make(copy, len));
        struct hll_registers *registers = mem_calloc(1, sizeof(*registers));
        if (hll_is_valid(bytes_make(copy, len)))
            assert_false(hll_merge(registers, bytes_make(copy, len)));
        mem_free(registers);
        mem_free(copy);
    }
    uint64_t seed = 99;
    for (int round = 0; round < 3000; round++) {
        struct buf damaged = {0};
        buf_append_bytes(&damaged, buf_bytes(&hll));
        for (uint64_t n = random_next(&seed) % 4; n != UINT64_MAX; n--)
            damaged.data[random_next(&seed) % damaged.len] = (uint8_t)random_next(&seed);
        use(buf_bytes(&damaged));
        buf_deinit(&damaged);
    }
    buf_deinit(&hll);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raised_registers_are_those_of_the_model),
        cmocka_unit_test(dense_change_in_place_equals_adding),
        cmocka_unit_test(estimate_is_within_four_standard_errors),
        cmocka_unit_test(damaged_bytes_are_found_out_or_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
