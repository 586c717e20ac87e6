/* An open-addressing table of pointers; a digest's first bytes are its hash. */
#include "server/script_cache.h"

#include "codec/check.h"
#include "codec/mem.h"

#define PLACES_MIN 16

struct script_cache {
    struct script **places; /* owned; at most half of them taken */
    size_t place_count;     /* a power of two */
    size_t count;
    size_t droppable;
    struct script *newest, *oldest; /* of those not kept */
    script_cache_release_fn *release;
    void *arg;
};

struct script_cache *script_cache_create(script_cache_release_fn *release, void *arg)
{
    struct script_cache *cache = mem_calloc(1, sizeof(*cache));
    cache->places = mem_calloc(PLACES_MIN, sizeof(struct script *));
    cache->place_count = PLACES_MIN;
    cache->release = release;
    cache->arg = arg;
    return cache;
}

void script_cache_destroy(struct script_cache *cache)
{
    if (cache == NULL)
        return;
    script_cache_clear(cache);
    mem_free(cache->places);
    mem_free(cache);
}

/* ---- The order of use. */

static void unlink_script(struct script_cache *cache, struct script *script)
{
    *(script->newer != NULL ? &script->newer->older : &cache->newest) = script->older;
    *(script->older != NULL ? &script->older->newer : &cache->oldest) = script->newer;
}

static void link_newest(struct script_cache *cache, struct script *script)
{
    script->newer = NULL;
    script->older = cache->newest;
    *(cache->newest != NULL ? &cache->newest->newer : &cache->oldest) = script;
    cache->newest = script;
}

/* ---- The table. */

static size_t hash(const uint8_t *digest)
{
    size_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

/* Where the digest is, or would go. */
static size_t find_place(const struct script_cache *cache, const uint8_t *digest)
{
    size_t at = hash(digest) & (cache->place_count - 1);
    while (cache->places[at] != NULL && memcmp(cache->places[at]->digest, digest, SHA1_BYTES) != 0)
        at = (at + 1) & (cache->place_count - 1);
    return at;
}

static void grow(struct script_cache *cache)
{
    struct script **old = cache->places;
    size_t old_count = cache->place_count;
    cache->place_count = old_count * 2;
    cache->places = mem_calloc(cache->place_count, sizeof(struct script *));
    for (size_t i = 0; i < old_count; i++)
        if (old[i] != NULL)
            cache->places[find_place(cache, old[i]->digest)] = old[i];
    mem_free(old);
}

/* Empties a place, and moves those behind it that it kept from theirs. */
static void empty_place(struct script_cache *cache, size_t at)
{
    size_t mask = cache->place_count - 1;
    cache->places[at] = NULL;
    for (size_t next = (at + 1) & mask; cache->places[next] != NULL; next = (next + 1) & mask) {
        struct script *script = cache->places[next];
        cache->places[next] = NULL;
        cache->places[find_place(cache, script->digest)] = script;
    }
}

struct script *script_cache_find(struct script_cache *cache, const uint8_t digest[SHA1_BYTES])
{
    struct script *script = cache->places[find_place(cache, digest)];
    if (script != NULL && !script->kept && script != cache->newest) {
        unlink_script(cache, script);
        link_newest(cache, script);
    }
    return script;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct script *script_cache_find_name(struct script_cache *cache, struct bytes name)
{
    uint8_t digest[SHA1_BYTES];
    if (name.len != SHA1_HEX_CHARS)
        return NULL;
    for (size_t i = 0; i < SHA1_BYTES; i++) {
        int high = hex_digit(name.data[2 * i]);
        int low = hex_digit(name.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return NULL;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return script_cache_find(cache, digest);
}

struct script *script_cache_add(struct script_cache *cache, const uint8_t digest[SHA1_BYTES],
                                uint32_t flags, int reference)
{
    if (2 * (cache->count + 1) > cache->place_count)
        grow(cache);
    size_t at = find_place(cache, digest);
    CHECK(cache->places[at] == NULL);
    struct script *script = mem_calloc(1, sizeof(*script));
    memcpy(script->digest, digest, SHA1_BYTES);
    sha1_format(digest, script->name);
    script->flags = flags;
    script->reference = reference;
    cache->places[at] = script;
    cache->count++;
    cache->droppable++;
    link_newest(cache, script);
    return script;
}

void script_cache_keep(struct script_cache *cache, struct script *script)
{
    if (script->kept)
        return;
    unlink_script(cache, script);
    script->kept = true;
    cache->droppable--;
}

static void free_script(struct script_cache *cache, struct script *script)
{
    cache->release(cache->arg, script->reference);
    mem_free(script);
}

size_t script_cache_drop_half(struct script_cache *cache)
{
    size_t count = (cache->droppable + 1) / 2;
    for (size_t i = 0; i < count; i++) {
        struct script *script = cache->oldest;
        unlink_script(cache, script);
        empty_place(cache, find_place(cache, script->digest));
        free_script(cache, script);
    }
    cache->droppable -= count;
    cache->count -= count;
    return count;
}

void script_cache_clear(struct script_cache *cache)
{
    for (size_t i = 0; i < cache->place_count; i++)
        if (cache->places[i] != NULL)
            free_script(cache, cache->places[i]);
    memset(cache->places, 0, cache->place_count * sizeof(struct script *));
    cache->count = 0;
    cache->droppable = 0;
    cache->newest = NULL;
    cache->oldest = NULL;
}

size_t script_cache_count(const struct script_cache *cache)
{
    return cache->count;
}

size_t script_cache_bytes(const struct script_cache *cache)
{
    return cache->place_count * sizeof(struct script *) +
           cache->count * mem_good_size(sizeof(struct script));
}
