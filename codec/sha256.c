#include "codec/sha256.h"

#define BLOCK_BYTES  64
#define LENGTH_BYTES 8 /* the message's length in bits ends the last block */
#define WORD_COUNT   8
#define ROUND_COUNT  64

/* Of the square roots of the first 8 primes, and the cube roots of the first 64, the first 32 bits
 * behind the point. */
static const uint32_t initial[WORD_COUNT] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
static const uint32_t constants[ROUND_COUNT] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static inline uint32_t rotate_right(uint32_t word, int bits)
{
    return word >> bits | word << (32 - bits);
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

static void expand(const uint8_t *block, uint32_t words[ROUND_COUNT])
{
    for (int i = 0; i < 16; i++)
        words[i] = load_be(block + 4 * i);
    for (int i = 16; i < ROUND_COUNT; i++) {
        uint32_t a = words[i - 15], b = words[i - 2];
        uint32_t low = rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3;
        uint32_t high = rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10;
        words[i] = words[i - 16] + low + words[i - 7] + high;
    }
}

static void hash_block(uint32_t state[WORD_COUNT], const uint8_t *block)
{
    uint32_t words[ROUND_COUNT];
    expand(block, words);
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < ROUND_COUNT; i++) {
        uint32_t mix = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t first = h + mix + ((e & f) ^ (~e & g)) + constants[i] + words[i];
        uint32_t sum = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t second = sum + ((a & b) ^ (a & c) ^ (b & c));
        h = g;
        g = f;
        f = e;
        e = d + first;
        d = c;
        c = b;
        b = a;
        a = first + second;
    }
    const uint32_t added[WORD_COUNT] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < WORD_COUNT; i++)
        state[i] += added[i];
}

/* The last bytes, a bit that is set, zeros, the length: one block or two. */
static void hash_end(uint32_t state[WORD_COUNT], struct bytes rest, uint64_t total_bytes)
{
    uint8_t blocks[2 * BLOCK_BYTES] = {0};
    if (rest.len != 0)
        memcpy(blocks, rest.data, rest.len);
    blocks[rest.len] = 0x80;
    size_t end = rest.len < BLOCK_BYTES - LENGTH_BYTES ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    uint64_t bits = total_bytes * 8;
    store_be(blocks + end - 8, (uint32_t)(bits >> 32));
    store_be(blocks + end - 4, (uint32_t)bits);
    for (size_t at = 0; at < end; at += BLOCK_BYTES)
        hash_block(state, blocks + at);
    explicit_bzero(blocks, sizeof(blocks));
}

void sha256_digest(struct bytes data, uint8_t out[SHA256_BYTES])
{
    uint32_t state[WORD_COUNT];
    memcpy(state, initial, sizeof(state));
    size_t at = 0;
    for (; data.len - at >= BLOCK_BYTES; at += BLOCK_BYTES)
        hash_block(state, data.data + at);
    struct bytes rest = {.data = NULL, .len = data.len - at};
    if (rest.len != 0)
        rest.data = data.data + at;
    hash_end(state, rest, data.len);
    for (int i = 0; i < WORD_COUNT; i++)
        store_be(out + 4 * i, state[i]);
}

void sha256_format(const uint8_t digest[SHA256_BYTES], char out[SHA256_HEX_CHARS + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < SHA256_BYTES; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[SHA256_HEX_CHARS] = '\0';
}
