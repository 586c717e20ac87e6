/* The scripts that EVAL and SCRIPT LOAD have compiled, by the SHA-1 of their text. Those that EVAL
 * alone knows can be dropped, the ones unused for longest first: programs that put values into the
 * text of their scripts would fill the memory otherwise. Main thread. */
#ifndef BASALT_SERVER_SCRIPT_CACHE_H
#define BASALT_SERVER_SCRIPT_CACHE_H

#include "codec/bytes.h"
#include "codec/sha1.h"

#include <stdbool.h>

struct script_cache;

struct script {
    uint8_t digest[SHA1_BYTES];
    char name[SHA1_HEX_CHARS + 1]; /* the digest as text */
    uint32_t flags;                /* SCRIPT_FLAG_* */
    int reference;                 /* of the function (script_lua.h) */
    bool kept;                     /* by SCRIPT LOAD: is not dropped */
    struct script *newer, *older;  /* of those not kept */
};

/* Called with the reference of each script that goes. */
typedef void script_cache_release_fn(void *arg, int reference);

struct script_cache *script_cache_create(script_cache_release_fn *release, void *arg);
void script_cache_destroy(struct script_cache *cache);

/* NULL: absent. Borrowed until something is dropped or cleared. Counts as a use. */
struct script *script_cache_find(struct script_cache *cache, const uint8_t digest[SHA1_BYTES]);
/* By the hexadecimal text, in any case of letters. */
struct script *script_cache_find_name(struct script_cache *cache, struct bytes name);
/* Adds one that is absent. */
struct script *script_cache_add(struct script_cache *cache, const uint8_t digest[SHA1_BYTES],
                                uint32_t flags, int reference);
/* It is not to be dropped from now on. */
void script_cache_keep(struct script_cache *cache, struct script *script);
/* Drops the half of what can be dropped that was not used for longest. Returns how many went. */
size_t script_cache_drop_half(struct script_cache *cache);
void script_cache_clear(struct script_cache *cache);

size_t script_cache_count(const struct script_cache *cache);
/* Memory, but for what is in the interpreter. */
size_t script_cache_bytes(const struct script_cache *cache);

#endif
