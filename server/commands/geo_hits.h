/* What a search among places has found, and its order. */
#ifndef BASALT_SERVER_COMMANDS_GEO_HITS_H
#define BASALT_SERVER_COMMANDS_GEO_HITS_H

#include "codec/buf.h"
#include "server/commands/geo_cell.h"

struct geo_hit {
    struct geo_place place;
    double distance; /* metres, from the center */
    double score;
    size_t off; /* of the member, in `names` */
    size_t len;
    size_t index; /* in the order of finding */
};

struct geo_hits {
    struct geo_hit *items; /* owned */
    size_t count;
    size_t capacity;
    struct buf names; /* members, one after the other */
};

void geo_hits_deinit(struct geo_hits *hits);
/* Off, len and index are set here. */
void geo_hits_add(struct geo_hits *hits, struct geo_hit hit, struct bytes member);
struct bytes geo_hits_member(const struct geo_hits *hits, const struct geo_hit *hit);
/* Brings the first `wanted` into their places, by distance. Equally distant ones come in the order
 * in which Redis has them: that of finding if all are wanted, else as its quicksort leaves them. */
void geo_hits_sort(struct geo_hits *hits, size_t wanted, bool descending);

#endif
