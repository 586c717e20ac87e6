/* Digests of keys and data sets, equal to those of Redis's DEBUG DIGEST and DEBUG DIGEST-VALUE for
 * equal data, so that two servers can be compared. Pure but for reading objects. Main thread.
 * Source: debug.c of Redis 7.2. */
#ifndef BASALT_SERVER_VALUE_DIGEST_H
#define BASALT_SERVER_VALUE_DIGEST_H

#include "codec/bytes.h"
#include "codec/sha1.h"
#include "storage/object.h"

/* A digest that parts are added to; zeroed is empty. */
struct value_digest {
    uint8_t bytes[SHA1_BYTES];
};

/* Adds an object's type, value (all of which must be in RAM) and whether it expires. */
void value_digest_add_object(struct value_digest *digest, const struct object *o);
/* What a database's number adds before its keys, and what a key with its object adds. */
void value_digest_add_db(struct value_digest *digest, uint32_t number);
void value_digest_add_key(struct value_digest *digest, const struct object *o);

#endif
