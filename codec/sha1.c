#include "codec/sha1.h"

#define BLOCK_BYTES  64
#define LENGTH_BYTES 8 /* the message's length in bits ends the last block */
#define ROUND_COUNT  80

static inline uint32_t rotate_left(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

static inline uint32_t load_be(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static inline void store_be(uint8_t *out, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* The function and constant of the round's quarter, applied to b, c, d. */
static inline uint32_t round_term(int round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void hash_block(uint32_t state[5], const uint8_t *block)
{
    uint32_t words[ROUND_COUNT];
    for (int i = 0; i < 16; i++)
        words[i] = load_be(block + 4 * i);
    for (int i = 16; i < ROUND_COUNT; i++)
        words[i] = rotate_left(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);

    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < ROUND_COUNT; i++) {
        uint32_t next = rotate_left(a, 5) + round_term(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1_init(struct sha1 *sha1)
{
    *sha1 = (struct sha1){
        .state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0},
    };
}

void sha1_update(struct sha1 *sha1, struct bytes data)
{
    size_t used = sha1->total_bytes % BLOCK_BYTES;
    sha1->total_bytes += data.len;
    if (used > 0) {
        size_t room = BLOCK_BYTES - used;
        size_t len = data.len < room ? data.len : room;
        if (len > 0)
            memcpy(sha1->block + used, data.data, len);
        if (len < room)
            return;
        hash_block(sha1->state, sha1->block);
        data = bytes_make(data.data + len, data.len - len);
    }
    while (data.len >= BLOCK_BYTES) {
        hash_block(sha1->state, data.data);
        data = bytes_make(data.data + BLOCK_BYTES, data.len - BLOCK_BYTES);
    }
    if (data.len > 0)
        memcpy(sha1->block, data.data, data.len);
}

void sha1_finish(struct sha1 *sha1, uint8_t out[SHA1_BYTES])
{
    uint64_t bits = sha1->total_bytes * 8;
    size_t used = sha1->total_bytes % BLOCK_BYTES;
    sha1->block[used++] = 0x80;
    if (used > BLOCK_BYTES - LENGTH_BYTES) {
        memset(sha1->block + used, 0, BLOCK_BYTES - used);
        hash_block(sha1->state, sha1->block);
        used = 0;
    }
    memset(sha1->block + used, 0, BLOCK_BYTES - LENGTH_BYTES - used);
    store_be(sha1->block + BLOCK_BYTES - 8, (uint32_t)(bits >> 32));
    store_be(sha1->block + BLOCK_BYTES - 4, (uint32_t)bits);
    hash_block(sha1->state, sha1->block);
    for (int i = 0; i < 5; i++)
        store_be(out + 4 * i, sha1->state[i]);
}

void sha1_digest(struct bytes data, uint8_t out[SHA1_BYTES])
{
    struct sha1 sha1;
    sha1_init(&sha1);
    sha1_update(&sha1, data);
    sha1_finish(&sha1, out);
}

void sha1_format(const uint8_t digest[SHA1_BYTES], char out[SHA1_HEX_CHARS + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < SHA1_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SHA1_HEX_CHARS] = 0;
}
