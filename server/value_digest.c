#include "server/value_digest.h"

#include "codec/check.h"
#include "codec/endian.h"
#include "storage/types/hash.h"
#include "storage/types/list.h"
#include "storage/types/set.h"
#include "storage/types/stream.h"
#include "storage/types/string.h"
#include "storage/types/zset.h"

#include <stdio.h>

#define SCORE_CHARS_MAX 32 /* 17 digits, sign, point, exponent */

/* Redis numbers its types so; the digest has the number. */
static uint32_t redis_type(const struct object *o)
{
    switch ((enum object_type)o->type) {
    case OBJECT_STRING:
        return 0;
    case OBJECT_LIST:
        return 1;
    case OBJECT_SET:
        return 2;
    case OBJECT_ZSET:
        return 3;
    case OBJECT_HASH:
        return 4;
    case OBJECT_STREAM:
        return 6;
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        break;
    }
    CHECK_UNREACHED("the object is live");
    return 0;
}

static void xor_digest(struct value_digest *digest, const struct value_digest *other)
{
    for (size_t i = 0; i < SHA1_BYTES; i++)
        digest->bytes[i] ^= other->bytes[i];
}

static void xor_bytes(struct value_digest *digest, struct bytes part)
{
    struct value_digest hash;
    sha1_digest(part, hash.bytes);
    xor_digest(digest, &hash);
}

/* Makes what was added so far depend on its order. */
static void stir(struct value_digest *digest)
{
    struct value_digest hash;
    sha1_digest(bytes_make(digest->bytes, SHA1_BYTES), hash.bytes);
    *digest = hash;
}

static void mix_bytes(struct value_digest *digest, struct bytes part)
{
    xor_bytes(digest, part);
    stir(digest);
}

static void mix_u32(struct value_digest *digest, uint32_t value)
{
    uint8_t bytes[4];
    store_be32(bytes, value);
    mix_bytes(digest, bytes_make(bytes, sizeof bytes));
}

static void mix_string(struct value_digest *digest, const struct object *o)
{
    struct sha1 sha1;
    struct string_reader reader;
    struct bytes piece;
    struct value_digest hash;
    sha1_init(&sha1);
    string_reader_init(&reader, o, 0, UINT64_MAX);
    while (string_reader_next(&reader, &piece))
        sha1_update(&sha1, piece);
    sha1_finish(&sha1, hash.bytes);
    xor_digest(digest, &hash);
    stir(digest);
}

static void mix_list(struct value_digest *digest, const struct object *o)
{
    struct list_iter iter;
    struct listpack_value value;
    char digits[NUMBER_I64_CHARS_MAX];
    list_iter_init(&iter, o, 0, true);
    while (list_iter_next(&iter, &value))
        mix_bytes(digest, listpack_value_text(&value, digits));
}

static void mix_zset(struct value_digest *digest, const struct object *o)
{
    struct zset_walk walk;
    struct bytes member;
    double score;
    zset_walk_init(&walk, o, 0, false);
    while (zset_walk_next(&walk, &member, &score)) {
        struct value_digest element = {{0}};
        char text[SCORE_CHARS_MAX];
        mix_bytes(&element, member);
        int len = snprintf(text, sizeof text, "%.17g", score);
        mix_bytes(&element, bytes_make(text, (size_t)len));
        xor_bytes(digest, bytes_make(element.bytes, SHA1_BYTES));
    }
}

static void mix_stream(struct value_digest *digest, const struct object *o)
{
    struct stream_walk walk;
    struct stream_entry entry;
    stream_walk_init(&walk, stream_of(o), (struct stream_id){0, 0}, STREAM_ID_MAX, false);
    while (stream_walk_next(&walk, &entry)) {
        char id[64];
        int len = snprintf(id, sizeof id, "%llu.%llu", (unsigned long long)entry.id.ms,
                           (unsigned long long)entry.id.seq);
        mix_bytes(digest, bytes_make(id, (size_t)len));
        for (uint64_t i = 0; i < entry.field_count; i++) {
            char scratch[2][24];
            struct bytes field;
            struct bytes value;
            stream_entry_next(&entry, scratch[0], scratch[1], &field, &value);
            mix_bytes(digest, field);
            mix_bytes(digest, value);
        }
    }
}

static void add_hash(struct value_digest *digest, const struct object *o)
{
    struct hash_iter iter;
    struct bytes field;
    struct hash_value value;
    for (hash_iter_init(&iter, o); hash_iter_next(&iter, &field, &value);) {
        struct value_digest pair = {{0}};
        mix_bytes(&pair, field);
        mix_bytes(&pair, value.value);
        xor_bytes(digest, bytes_make(pair.bytes, SHA1_BYTES));
    }
}

static void add_set(struct value_digest *digest, const struct object *o)
{
    struct set_iter iter;
    struct bytes member;
    for (set_iter_init(&iter, o); set_iter_next(&iter, &member);)
        xor_bytes(digest, member);
}

void value_digest_add_object(struct value_digest *digest, const struct object *o)
{
    mix_u32(digest, redis_type(o));
    switch ((enum object_type)o->type) {
    case OBJECT_STRING:
        mix_string(digest, o);
        break;
    case OBJECT_SET:
        add_set(digest, o);
        break;
    case OBJECT_LIST:
        mix_list(digest, o);
        break;
    case OBJECT_HASH:
        add_hash(digest, o);
        break;
    case OBJECT_ZSET:
        mix_zset(digest, o);
        break;
    case OBJECT_STREAM:
        mix_stream(digest, o);
        break;
    case OBJECT_NONE:
    case OBJECT_TYPE_COUNT:
        CHECK_UNREACHED("the object is live, and of a type there is");
    }
    if (object_has_expire(o))
        xor_bytes(digest, bytes_text("!!expire!!"));
}

void value_digest_add_db(struct value_digest *digest, uint32_t number)
{
    mix_u32(digest, number);
}

void value_digest_add_key(struct value_digest *digest, const struct object *o)
{
    struct value_digest one = {{0}};
    mix_bytes(&one, object_key(o));
    value_digest_add_object(&one, o);
    xor_bytes(digest, bytes_make(one.bytes, SHA1_BYTES));
}
