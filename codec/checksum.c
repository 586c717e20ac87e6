/* Checksums and the keyed hash.
 *
 * All three CRCs eat eight bytes per step with eight tables (slice-by-8): table k gives what a byte
 * contributes when k more bytes follow it in the step. A CRC is linear, so each table follows from
 * eight numbers, one per bit of the byte, and all 64 of those are one chain: the polynomial,
 * advanced by one bit each time. The compiler works that out below; the tables are plain read-only
 * data, without start-up code.
 *
 * CRC32C also has a version for CPUs with SSE4.2 and PCLMULQDQ. Its instruction has a latency of
 * three cycles, so large inputs run as three streams at once, joined by a carry-less multiplication
 * that moves a checksum over the bytes behind it. */
#include "codec/checksum.h"

#include "codec/endian.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* One bit of division by the polynomial; the reflected CRCs shift right. */
#define CRC16_POLYNOMIAL  0x1021u
#define CRC32C_POLYNOMIAL 0x82f63b78u
#define CRC64_POLYNOMIAL  UINT64_C(0x95ac9329ac4bc9b5)
#define CRC16_STEP(v)     ((((v) << 1) & 0xffffu) ^ (((v)&0x8000u) != 0 ? CRC16_POLYNOMIAL : 0u))
#define CRC32C_STEP(v)    (((uint32_t)(v) >> 1) ^ (((v)&1u) != 0 ? CRC32C_POLYNOMIAL : 0u))
#define CRC64_STEP(v)     (((uint64_t)(v) >> 1) ^ (((v)&1u) != 0 ? CRC64_POLYNOMIAL : 0u))

/* clang-format off */
enum {
    CRC16_0 = CRC16_POLYNOMIAL, CRC16_1 = CRC16_STEP(CRC16_0), CRC16_2 = CRC16_STEP(CRC16_1),
    CRC16_3 = CRC16_STEP(CRC16_2), CRC16_4 = CRC16_STEP(CRC16_3), CRC16_5 = CRC16_STEP(CRC16_4),
    CRC16_6 = CRC16_STEP(CRC16_5), CRC16_7 = CRC16_STEP(CRC16_6), CRC16_8 = CRC16_STEP(CRC16_7),
    CRC16_9 = CRC16_STEP(CRC16_8), CRC16_10 = CRC16_STEP(CRC16_9), CRC16_11 = CRC16_STEP(CRC16_10),
    CRC16_12 = CRC16_STEP(CRC16_11), CRC16_13 = CRC16_STEP(CRC16_12),
    CRC16_14 = CRC16_STEP(CRC16_13), CRC16_15 = CRC16_STEP(CRC16_14),
    CRC16_16 = CRC16_STEP(CRC16_15), CRC16_17 = CRC16_STEP(CRC16_16),
    CRC16_18 = CRC16_STEP(CRC16_17), CRC16_19 = CRC16_STEP(CRC16_18),
    CRC16_20 = CRC16_STEP(CRC16_19), CRC16_21 = CRC16_STEP(CRC16_20),
    CRC16_22 = CRC16_STEP(CRC16_21), CRC16_23 = CRC16_STEP(CRC16_22),
    CRC16_24 = CRC16_STEP(CRC16_23), CRC16_25 = CRC16_STEP(CRC16_24),
    CRC16_26 = CRC16_STEP(CRC16_25), CRC16_27 = CRC16_STEP(CRC16_26),
    CRC16_28 = CRC16_STEP(CRC16_27), CRC16_29 = CRC16_STEP(CRC16_28),
    CRC16_30 = CRC16_STEP(CRC16_29), CRC16_31 = CRC16_STEP(CRC16_30),
    CRC16_32 = CRC16_STEP(CRC16_31), CRC16_33 = CRC16_STEP(CRC16_32),
    CRC16_34 = CRC16_STEP(CRC16_33), CRC16_35 = CRC16_STEP(CRC16_34),
    CRC16_36 = CRC16_STEP(CRC16_35), CRC16_37 = CRC16_STEP(CRC16_36),
    CRC16_38 = CRC16_STEP(CRC16_37), CRC16_39 = CRC16_STEP(CRC16_38),
    CRC16_40 = CRC16_STEP(CRC16_39), CRC16_41 = CRC16_STEP(CRC16_40),
    CRC16_42 = CRC16_STEP(CRC16_41), CRC16_43 = CRC16_STEP(CRC16_42),
    CRC16_44 = CRC16_STEP(CRC16_43), CRC16_45 = CRC16_STEP(CRC16_44),
    CRC16_46 = CRC16_STEP(CRC16_45), CRC16_47 = CRC16_STEP(CRC16_46),
    CRC16_48 = CRC16_STEP(CRC16_47), CRC16_49 = CRC16_STEP(CRC16_48),
    CRC16_50 = CRC16_STEP(CRC16_49), CRC16_51 = CRC16_STEP(CRC16_50),
    CRC16_52 = CRC16_STEP(CRC16_51), CRC16_53 = CRC16_STEP(CRC16_52),
    CRC16_54 = CRC16_STEP(CRC16_53), CRC16_55 = CRC16_STEP(CRC16_54),
    CRC16_56 = CRC16_STEP(CRC16_55), CRC16_57 = CRC16_STEP(CRC16_56),
    CRC16_58 = CRC16_STEP(CRC16_57), CRC16_59 = CRC16_STEP(CRC16_58),
    CRC16_60 = CRC16_STEP(CRC16_59), CRC16_61 = CRC16_STEP(CRC16_60),
    CRC16_62 = CRC16_STEP(CRC16_61), CRC16_63 = CRC16_STEP(CRC16_62),
};

enum {
    CRC32C_0 = CRC32C_POLYNOMIAL, CRC32C_1 = CRC32C_STEP(CRC32C_0),
    CRC32C_2 = CRC32C_STEP(CRC32C_1), CRC32C_3 = CRC32C_STEP(CRC32C_2),
    CRC32C_4 = CRC32C_STEP(CRC32C_3), CRC32C_5 = CRC32C_STEP(CRC32C_4),
    CRC32C_6 = CRC32C_STEP(CRC32C_5), CRC32C_7 = CRC32C_STEP(CRC32C_6),
    CRC32C_8 = CRC32C_STEP(CRC32C_7), CRC32C_9 = CRC32C_STEP(CRC32C_8),
    CRC32C_10 = CRC32C_STEP(CRC32C_9), CRC32C_11 = CRC32C_STEP(CRC32C_10),
    CRC32C_12 = CRC32C_STEP(CRC32C_11), CRC32C_13 = CRC32C_STEP(CRC32C_12),
    CRC32C_14 = CRC32C_STEP(CRC32C_13), CRC32C_15 = CRC32C_STEP(CRC32C_14),
    CRC32C_16 = CRC32C_STEP(CRC32C_15), CRC32C_17 = CRC32C_STEP(CRC32C_16),
    CRC32C_18 = CRC32C_STEP(CRC32C_17), CRC32C_19 = CRC32C_STEP(CRC32C_18),
    CRC32C_20 = CRC32C_STEP(CRC32C_19), CRC32C_21 = CRC32C_STEP(CRC32C_20),
    CRC32C_22 = CRC32C_STEP(CRC32C_21), CRC32C_23 = CRC32C_STEP(CRC32C_22),
    CRC32C_24 = CRC32C_STEP(CRC32C_23), CRC32C_25 = CRC32C_STEP(CRC32C_24),
    CRC32C_26 = CRC32C_STEP(CRC32C_25), CRC32C_27 = CRC32C_STEP(CRC32C_26),
    CRC32C_28 = CRC32C_STEP(CRC32C_27), CRC32C_29 = CRC32C_STEP(CRC32C_28),
    CRC32C_30 = CRC32C_STEP(CRC32C_29), CRC32C_31 = CRC32C_STEP(CRC32C_30),
    CRC32C_32 = CRC32C_STEP(CRC32C_31), CRC32C_33 = CRC32C_STEP(CRC32C_32),
    CRC32C_34 = CRC32C_STEP(CRC32C_33), CRC32C_35 = CRC32C_STEP(CRC32C_34),
    CRC32C_36 = CRC32C_STEP(CRC32C_35), CRC32C_37 = CRC32C_STEP(CRC32C_36),
    CRC32C_38 = CRC32C_STEP(CRC32C_37), CRC32C_39 = CRC32C_STEP(CRC32C_38),
    CRC32C_40 = CRC32C_STEP(CRC32C_39), CRC32C_41 = CRC32C_STEP(CRC32C_40),
    CRC32C_42 = CRC32C_STEP(CRC32C_41), CRC32C_43 = CRC32C_STEP(CRC32C_42),
    CRC32C_44 = CRC32C_STEP(CRC32C_43), CRC32C_45 = CRC32C_STEP(CRC32C_44),
    CRC32C_46 = CRC32C_STEP(CRC32C_45), CRC32C_47 = CRC32C_STEP(CRC32C_46),
    CRC32C_48 = CRC32C_STEP(CRC32C_47), CRC32C_49 = CRC32C_STEP(CRC32C_48),
    CRC32C_50 = CRC32C_STEP(CRC32C_49), CRC32C_51 = CRC32C_STEP(CRC32C_50),
    CRC32C_52 = CRC32C_STEP(CRC32C_51), CRC32C_53 = CRC32C_STEP(CRC32C_52),
    CRC32C_54 = CRC32C_STEP(CRC32C_53), CRC32C_55 = CRC32C_STEP(CRC32C_54),
    CRC32C_56 = CRC32C_STEP(CRC32C_55), CRC32C_57 = CRC32C_STEP(CRC32C_56),
    CRC32C_58 = CRC32C_STEP(CRC32C_57), CRC32C_59 = CRC32C_STEP(CRC32C_58),
    CRC32C_60 = CRC32C_STEP(CRC32C_59), CRC32C_61 = CRC32C_STEP(CRC32C_60),
    CRC32C_62 = CRC32C_STEP(CRC32C_61), CRC32C_63 = CRC32C_STEP(CRC32C_62),
};

enum {
    CRC64_0 = CRC64_POLYNOMIAL, CRC64_1 = CRC64_STEP(CRC64_0), CRC64_2 = CRC64_STEP(CRC64_1),
    CRC64_3 = CRC64_STEP(CRC64_2), CRC64_4 = CRC64_STEP(CRC64_3), CRC64_5 = CRC64_STEP(CRC64_4),
    CRC64_6 = CRC64_STEP(CRC64_5), CRC64_7 = CRC64_STEP(CRC64_6), CRC64_8 = CRC64_STEP(CRC64_7),
    CRC64_9 = CRC64_STEP(CRC64_8), CRC64_10 = CRC64_STEP(CRC64_9), CRC64_11 = CRC64_STEP(CRC64_10),
    CRC64_12 = CRC64_STEP(CRC64_11), CRC64_13 = CRC64_STEP(CRC64_12),
    CRC64_14 = CRC64_STEP(CRC64_13), CRC64_15 = CRC64_STEP(CRC64_14),
    CRC64_16 = CRC64_STEP(CRC64_15), CRC64_17 = CRC64_STEP(CRC64_16),
    CRC64_18 = CRC64_STEP(CRC64_17), CRC64_19 = CRC64_STEP(CRC64_18),
    CRC64_20 = CRC64_STEP(CRC64_19), CRC64_21 = CRC64_STEP(CRC64_20),
    CRC64_22 = CRC64_STEP(CRC64_21), CRC64_23 = CRC64_STEP(CRC64_22),
    CRC64_24 = CRC64_STEP(CRC64_23), CRC64_25 = CRC64_STEP(CRC64_24),
    CRC64_26 = CRC64_STEP(CRC64_25), CRC64_27 = CRC64_STEP(CRC64_26),
    CRC64_28 = CRC64_STEP(CRC64_27), CRC64_29 = CRC64_STEP(CRC64_28),
    CRC64_30 = CRC64_STEP(CRC64_29), CRC64_31 = CRC64_STEP(CRC64_30),
    CRC64_32 = CRC64_STEP(CRC64_31), CRC64_33 = CRC64_STEP(CRC64_32),
    CRC64_34 = CRC64_STEP(CRC64_33), CRC64_35 = CRC64_STEP(CRC64_34),
    CRC64_36 = CRC64_STEP(CRC64_35), CRC64_37 = CRC64_STEP(CRC64_36),
    CRC64_38 = CRC64_STEP(CRC64_37), CRC64_39 = CRC64_STEP(CRC64_38),
    CRC64_40 = CRC64_STEP(CRC64_39), CRC64_41 = CRC64_STEP(CRC64_40),
    CRC64_42 = CRC64_STEP(CRC64_41), CRC64_43 = CRC64_STEP(CRC64_42),
    CRC64_44 = CRC64_STEP(CRC64_43), CRC64_45 = CRC64_STEP(CRC64_44),
    CRC64_46 = CRC64_STEP(CRC64_45), CRC64_47 = CRC64_STEP(CRC64_46),
    CRC64_48 = CRC64_STEP(CRC64_47), CRC64_49 = CRC64_STEP(CRC64_48),
    CRC64_50 = CRC64_STEP(CRC64_49), CRC64_51 = CRC64_STEP(CRC64_50),
    CRC64_52 = CRC64_STEP(CRC64_51), CRC64_53 = CRC64_STEP(CRC64_52),
    CRC64_54 = CRC64_STEP(CRC64_53), CRC64_55 = CRC64_STEP(CRC64_54),
    CRC64_56 = CRC64_STEP(CRC64_55), CRC64_57 = CRC64_STEP(CRC64_56),
    CRC64_58 = CRC64_STEP(CRC64_57), CRC64_59 = CRC64_STEP(CRC64_58),
    CRC64_60 = CRC64_STEP(CRC64_59), CRC64_61 = CRC64_STEP(CRC64_60),
    CRC64_62 = CRC64_STEP(CRC64_61), CRC64_63 = CRC64_STEP(CRC64_62),
};

/* A table from what each bit of the byte contributes, lowest bit first. */
#define BIT(i, b, v) ((((i) >> (b)) & 1) != 0 ? (v) : 0)
#define ENTRY(i, v0, v1, v2, v3, v4, v5, v6, v7)                                                   \
    (BIT(i, 0, v0) ^ BIT(i, 1, v1) ^ BIT(i, 2, v2) ^ BIT(i, 3, v3) ^                               \
     BIT(i, 4, v4) ^ BIT(i, 5, v5) ^ BIT(i, 6, v6) ^ BIT(i, 7, v7))
#define ENTRIES_4(i, ...)                                                                          \
    ENTRY(i, __VA_ARGS__), ENTRY((i) + 1, __VA_ARGS__),                                            \
    ENTRY((i) + 2, __VA_ARGS__), ENTRY((i) + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
    ENTRIES_4(i, __VA_ARGS__), ENTRIES_4((i) + 4, __VA_ARGS__),                                    \
    ENTRIES_4((i) + 8, __VA_ARGS__), ENTRIES_4((i) + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
    ENTRIES_16(i, __VA_ARGS__), ENTRIES_16((i) + 16, __VA_ARGS__),                                 \
    ENTRIES_16((i) + 32, __VA_ARGS__), ENTRIES_16((i) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    ENTRIES_64(0, __VA_ARGS__), ENTRIES_64(64, __VA_ARGS__),                                       \
    ENTRIES_64(128, __VA_ARGS__), ENTRIES_64(192, __VA_ARGS__)

static const uint16_t crc16_tables[8][256] = {
    {TABLE(CRC16_0, CRC16_1, CRC16_2, CRC16_3, CRC16_4, CRC16_5, CRC16_6, CRC16_7)},
    {TABLE(CRC16_8, CRC16_9, CRC16_10, CRC16_11, CRC16_12, CRC16_13, CRC16_14, CRC16_15)},
    {TABLE(CRC16_16, CRC16_17, CRC16_18, CRC16_19, CRC16_20, CRC16_21, CRC16_22, CRC16_23)},
    {TABLE(CRC16_24, CRC16_25, CRC16_26, CRC16_27, CRC16_28, CRC16_29, CRC16_30, CRC16_31)},
    {TABLE(CRC16_32, CRC16_33, CRC16_34, CRC16_35, CRC16_36, CRC16_37, CRC16_38, CRC16_39)},
    {TABLE(CRC16_40, CRC16_41, CRC16_42, CRC16_43, CRC16_44, CRC16_45, CRC16_46, CRC16_47)},
    {TABLE(CRC16_48, CRC16_49, CRC16_50, CRC16_51, CRC16_52, CRC16_53, CRC16_54, CRC16_55)},
    {TABLE(CRC16_56, CRC16_57, CRC16_58, CRC16_59, CRC16_60, CRC16_61, CRC16_62, CRC16_63)},
};

static const uint32_t crc32c_tables[8][256] = {
    {TABLE(CRC32C_7, CRC32C_6, CRC32C_5, CRC32C_4, CRC32C_3, CRC32C_2, CRC32C_1, CRC32C_0)},
    {TABLE(CRC32C_15, CRC32C_14, CRC32C_13, CRC32C_12, CRC32C_11, CRC32C_10, CRC32C_9, CRC32C_8)},
    {TABLE(CRC32C_23, CRC32C_22, CRC32C_21, CRC32C_20, CRC32C_19, CRC32C_18, CRC32C_17, CRC32C_16)},
    {TABLE(CRC32C_31, CRC32C_30, CRC32C_29, CRC32C_28, CRC32C_27, CRC32C_26, CRC32C_25, CRC32C_24)},
    {TABLE(CRC32C_39, CRC32C_38, CRC32C_37, CRC32C_36, CRC32C_35, CRC32C_34, CRC32C_33, CRC32C_32)},
    {TABLE(CRC32C_47, CRC32C_46, CRC32C_45, CRC32C_44, CRC32C_43, CRC32C_42, CRC32C_41, CRC32C_40)},
    {TABLE(CRC32C_55, CRC32C_54, CRC32C_53, CRC32C_52, CRC32C_51, CRC32C_50, CRC32C_49, CRC32C_48)},
    {TABLE(CRC32C_63, CRC32C_62, CRC32C_61, CRC32C_60, CRC32C_59, CRC32C_58, CRC32C_57, CRC32C_56)},
};

static const uint64_t crc64_tables[8][256] = {
    {TABLE(CRC64_7, CRC64_6, CRC64_5, CRC64_4, CRC64_3, CRC64_2, CRC64_1, CRC64_0)},
    {TABLE(CRC64_15, CRC64_14, CRC64_13, CRC64_12, CRC64_11, CRC64_10, CRC64_9, CRC64_8)},
    {TABLE(CRC64_23, CRC64_22, CRC64_21, CRC64_20, CRC64_19, CRC64_18, CRC64_17, CRC64_16)},
    {TABLE(CRC64_31, CRC64_30, CRC64_29, CRC64_28, CRC64_27, CRC64_26, CRC64_25, CRC64_24)},
    {TABLE(CRC64_39, CRC64_38, CRC64_37, CRC64_36, CRC64_35, CRC64_34, CRC64_33, CRC64_32)},
    {TABLE(CRC64_47, CRC64_46, CRC64_45, CRC64_44, CRC64_43, CRC64_42, CRC64_41, CRC64_40)},
    {TABLE(CRC64_55, CRC64_54, CRC64_53, CRC64_52, CRC64_51, CRC64_50, CRC64_49, CRC64_48)},
    {TABLE(CRC64_63, CRC64_62, CRC64_61, CRC64_60, CRC64_59, CRC64_58, CRC64_57, CRC64_56)},
};
/* clang-format on */

static uint32_t crc32c_tables_step(uint32_t crc, const uint8_t *p)
{
    uint64_t w = load_le64(p) ^ crc;
    return crc32c_tables[7][w & 0xff] ^ crc32c_tables[6][w >> 8 & 0xff] ^
           crc32c_tables[5][w >> 16 & 0xff] ^ crc32c_tables[4][w >> 24 & 0xff] ^
           crc32c_tables[3][w >> 32 & 0xff] ^ crc32c_tables[2][w >> 40 & 0xff] ^
           crc32c_tables[1][w >> 48 & 0xff] ^ crc32c_tables[0][w >> 56];
}

uint32_t crc32c_portable(uint32_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint32_t crc = ~seed;
    for (; len >= 8; p += 8, len -= 8)
        crc = crc32c_tables_step(crc, p);
    for (; len != 0; p++, len--)
        crc = crc >> 8 ^ crc32c_tables[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

#define CPU_CRC32C __attribute__((target("sse4.2,pclmul")))

/* Sizes of one of the three streams, and x^(8 n - 33) modulo the polynomial for n = the bytes of
 * one and of two streams: multiplying by it moves a checksum over n bytes (33 because the product
 * of reflected numbers is off by one bit, and the crc32 instruction multiplies by x^32). */
#define STREAM_BYTES_LONG  2048
#define STREAM_BYTES_SHORT 256
#define SHIFT_256          0xb9e02b86u
#define SHIFT_512          0xdd7e3b0cu
#define SHIFT_2048         0xa51b6135u
#define SHIFT_4096         0x82f89c77u

static inline CPU_CRC32C uint64_t shift_product(uint64_t crc, uint32_t shift)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
                                           _mm_cvtsi64_si128((long long)shift), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

static inline CPU_CRC32C uint64_t crc32c_three_streams(uint64_t crc, const uint8_t *p,
                                                       size_t stream_bytes, uint32_t shift_one,
                                                       uint32_t shift_two)
{
    uint64_t second = 0;
    uint64_t third = 0;
    for (const uint8_t *end = p + stream_bytes; p < end; p += 8) {
        crc = _mm_crc32_u64(crc, load_le64(p));
        second = _mm_crc32_u64(second, load_le64(p + stream_bytes));
        third = _mm_crc32_u64(third, load_le64(p + 2 * stream_bytes));
    }
    uint64_t joined = shift_product(crc, shift_two) ^ shift_product(second, shift_one);
    return _mm_crc32_u64(0, joined) ^ third;
}

static CPU_CRC32C uint32_t crc32c_cpu(uint32_t seed, const uint8_t *p, size_t len)
{
    uint64_t crc = ~seed;
    for (; len >= 3 * STREAM_BYTES_LONG; p += 3 * STREAM_BYTES_LONG, len -= 3 * STREAM_BYTES_LONG)
        crc = crc32c_three_streams(crc, p, STREAM_BYTES_LONG, SHIFT_2048, SHIFT_4096);
    for (; len >= 3 * STREAM_BYTES_SHORT;
         p += 3 * STREAM_BYTES_SHORT, len -= 3 * STREAM_BYTES_SHORT)
        crc = crc32c_three_streams(crc, p, STREAM_BYTES_SHORT, SHIFT_256, SHIFT_512);
    for (; len >= 8; p += 8, len -= 8)
        crc = _mm_crc32_u64(crc, load_le64(p));
    for (; len != 0; p++, len--)
        crc = _mm_crc32_u8((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_cpu(seed, data, len);
    return crc32c_portable(seed, data, len);
}

#else

uint32_t crc32c(uint32_t seed, const void *data, size_t len)
{
    return crc32c_portable(seed, data, len);
}

#endif

uint64_t crc64(uint64_t seed, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t crc = seed;
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t w = load_le64(p) ^ crc;
        crc = crc64_tables[7][w & 0xff] ^ crc64_tables[6][w >> 8 & 0xff] ^
              crc64_tables[5][w >> 16 & 0xff] ^ crc64_tables[4][w >> 24 & 0xff] ^
              crc64_tables[3][w >> 32 & 0xff] ^ crc64_tables[2][w >> 40 & 0xff] ^
              crc64_tables[1][w >> 48 & 0xff] ^ crc64_tables[0][w >> 56];
    }
    for (; len != 0; p++, len--)
        crc = crc >> 8 ^ crc64_tables[0][(crc ^ *p) & 0xff];
    return crc;
}

/* The first `len` bytes as one big-endian number; len is 1 to 7. */
static inline uint64_t load_be_short(const uint8_t *p, size_t len)
{
    if (len >= 4)
        return (uint64_t)load_be32(p) << 8 * (len - 4) | load_be32(p + len - 4);
    if (len >= 2)
        return (uint64_t)load_be16(p) << 8 * (len - 2) | load_be16(p + len - 2);
    return p[0];
}

static inline uint16_t crc16_step(uint16_t crc, uint64_t w)
{
    w ^= (uint64_t)crc << 48;
    return (uint16_t)(crc16_tables[7][w >> 56] ^ crc16_tables[6][w >> 48 & 0xff] ^
                      crc16_tables[5][w >> 40 & 0xff] ^ crc16_tables[4][w >> 32 & 0xff] ^
                      crc16_tables[3][w >> 24 & 0xff] ^ crc16_tables[2][w >> 16 & 0xff] ^
                      crc16_tables[1][w >> 8 & 0xff] ^ crc16_tables[0][w & 0xff]);
}

/* This CRC starts at 0 and is not reflected, so that leading zero bytes do not count: what is over
 * a multiple of eight goes first, filled up in front, and no loop over single bytes is needed. */
uint16_t crc16(const void *data, size_t len)
{
    const uint8_t *p = data;
    uint16_t crc = 0;
    size_t head = len % 8;
    if (head != 0)
        crc = crc16_step(0, len >= 8 ? load_be64(p) >> 8 * (8 - head) : load_be_short(p, head));
    for (size_t at = head; at < len; at += 8)
        crc = crc16_step(crc, load_be64(p + at));
    return crc;
}

uint64_t hash64(uint64_t seed, const void *data, size_t len)
{
    return XXH3_64bits_withSeed(data, len, seed);
}
