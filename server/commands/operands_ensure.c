/* A request with a wrong number of keys comes here, too: `count` may be less than 1. */
#include "server/commands/operands_ensure.h"

#include "codec/mem.h"
#include "storage/object_value.h"
#include "storage/types/members.h"
#include "storage/types/set.h"
#include "storage/types/zset.h"
#include "storage/types/zset_ensure.h"
#include "storage/value_type.h"

/* What has fewer members than this times what is looked up in it is read whole. */
#define PROBE_SHARE 32
#define PROBES_MAX  65536 /* unknown members asked for before the first of them are waited for */
#define PROBE_BATCH 1024

static bool is_operand(const struct object *o)
{
    return o != NULL && object_is_live(o) && (o->type == OBJECT_SET || o->type == OBJECT_ZSET);
}

/* A key that holds something else: the request will answer that, and needs nothing. */
static bool is_other(const struct object *o)
{
    return o != NULL && object_is_live(o) && !is_operand(o);
}

static uint64_t count_of(const struct object *o)
{
    return o->type == OBJECT_SET ? set_count(o) : zset_count(o);
}

static bool is_whole(const struct object *o)
{
    if (!o->large)
        return true;
    return o->type == OBJECT_SET ? members_are_all(set_members(o)) : zset_order_is_whole(o);
}

static enum ensured ensure_whole(struct ensure *e)
{
    return is_whole(e->o) ? ENSURED
                          : object_value_type((enum object_type)e->o->type)->ensure_all(e);
}

/* ---- Looking members up. */

/* The members of an operand, one after the other. */
struct member_walk {
    bool is_set;
    struct set_iter set;
    struct zset_walk zset;
};

static void member_walk_init(struct member_walk *walk, const struct object *o)
{
    walk->is_set = o->type == OBJECT_SET;
    if (walk->is_set)
        set_iter_init(&walk->set, o);
    else
        zset_walk_init(&walk->zset, o, 0, false);
}

static bool member_walk_next(struct member_walk *walk, struct bytes *member)
{
    double score;
    return walk->is_set ? set_iter_next(&walk->set, member)
                        : zset_walk_next(&walk->zset, member, &score);
}

struct probe {
    struct buf texts;
    size_t lens[PROBE_BATCH];
    size_t count;
};

static enum ensured ensure_batch(struct ensure *e, struct probe *probe)
{
    struct bytes asked[PROBE_BATCH];
    size_t at = 0;
    for (size_t i = 0; i < probe->count; i++) {
        asked[i] = bytes_make(probe->texts.data + at, probe->lens[i]);
        at += probe->lens[i];
    }
    enum ensured result = e->o->type == OBJECT_SET
                              ? members_ensure(e, set_members(e->o), asked, probe->count, 1)
                              : zset_ensure_members(e, asked, probe->count, 1);
    buf_clear(&probe->texts);
    probe->count = 0;
    return result;
}

static enum ensured ensure_members_of(struct ensure *e, const struct object *from)
{
    struct probe *probe = mem_calloc(1, sizeof(*probe));
    struct member_walk walk;
    struct bytes member;
    enum ensured result = ENSURED;
    size_t asked = 0;
    member_walk_init(&walk, from);
    for (bool more = true; more && result != ENSURE_FAILED && asked < PROBES_MAX;) {
        more = member_walk_next(&walk, &member);
        if (more) {
            buf_append_bytes(&probe->texts, member);
            probe->lens[probe->count++] = member.len;
        }
        if (probe->count != PROBE_BATCH && (more || probe->count == 0))
            continue;
        size_t count = probe->count;
        enum ensured one = ensure_batch(e, probe);
        asked += one == ENSURE_WAIT ? count : 0;
        if (one != ENSURED)
            result = one;
    }
    buf_deinit(&probe->texts);
    mem_free(probe);
    return result;
}

/* Those members of e->o that `from` has, too: all of e->o, if that is less work and fits. */
static enum ensured ensure_probes(struct ensure *e, const struct object *from)
{
    if (is_whole(e->o))
        return ENSURED;
    if (count_of(e->o) / PROBE_SHARE < count_of(from)) {
        enum ensured result = ensure_whole(e);
        if (result != ENSURE_TOO_LARGE)
            return result;
    }
    return ensure_takes(e, object_value_bytes(from)) ? ensure_members_of(e, from)
                                                     : ENSURE_TOO_LARGE;
}

/* ---- The operations. */

/* Whether an earlier key is the same, so that it has been asked for. */
static bool is_repeated(const struct keyref *keys, int at)
{
    for (int i = 0; i < at; i++)
        if (keys[i].object == keys[at].object)
            return true;
    return false;
}

static void look_at(struct ensure *e, const struct keyref *key)
{
    e->db = key->db;
    e->o = key->object;
}

/* `first` whole, and of the others what it has. */
static enum ensured ensure_looked_up(struct ensure *e, const struct keyref *keys, int count,
                                     const struct keyref *first)
{
    look_at(e, first);
    enum ensured result = ensure_whole(e);
    if (result != ENSURED)
        return result;
    for (int i = 0; i < count && result <= ENSURE_WAIT; i++) {
        const struct object *o = keys[i].object;
        if (!is_operand(o) || is_whole(o) || o == first->object || is_repeated(keys, i))
            continue;
        look_at(e, &keys[i]);
        result = zset_ensure_both(result, ensure_probes(e, first->object));
    }
    return result;
}

static bool is_missing(const struct keyref *keys, int at)
{
    const struct object *o = keys[at].object;
    return is_operand(o) && !is_whole(o) && !is_repeated(keys, at);
}

static uint64_t whole_bytes(const struct object *o)
{
    return o->type == OBJECT_SET ? set_members(o)->content_bytes : zset_whole_bytes(o);
}

enum ensured operands_ensure_union(struct ensure *e, const struct keyref *keys, int count)
{
    enum ensured result = ENSURED;
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++)
        if (is_other(keys[i].object))
            return ENSURED;
    for (int i = 0; i < count; i++)
        bytes += is_missing(keys, i) ? whole_bytes(keys[i].object) : 0;
    if (bytes > e->whole_bytes_max) /* before anything is read */
        return ENSURE_TOO_LARGE;
    for (int i = 0; i < count; i++) {
        if (!is_missing(keys, i))
            continue;
        look_at(e, &keys[i]);
        result = zset_ensure_both(result, ensure_whole(e));
    }
    return result;
}

enum ensured operands_ensure_intersection(struct ensure *e, const struct keyref *keys, int count)
{
    const struct keyref *smallest = NULL;
    for (int i = 0; i < count; i++) {
        if (!is_operand(keys[i].object))
            return ENSURED; /* nothing comes of it */
        if (smallest == NULL || count_of(keys[i].object) < count_of(smallest->object))
            smallest = &keys[i];
    }
    return smallest == NULL ? ENSURED : ensure_looked_up(e, keys, count, smallest);
}

enum ensured operands_ensure_difference(struct ensure *e, const struct keyref *keys, int count)
{
    for (int i = 0; i < count; i++)
        if (is_other(keys[i].object))
            return ENSURED;
    return count < 1 || !is_operand(keys[0].object) ? ENSURED
                                                    : ensure_looked_up(e, keys, count, &keys[0]);
}

enum ensured operands_ensure_stored_union(struct ensure *e, const struct keyref *keys, int count)
{
    return operands_ensure_union(e, keys + 1, count - 1);
}

enum ensured operands_ensure_stored_intersection(struct ensure *e, const struct keyref *keys,
                                                 int count)
{
    return operands_ensure_intersection(e, keys + 1, count - 1);
}

enum ensured operands_ensure_stored_difference(struct ensure *e, const struct keyref *keys,
                                               int count)
{
    return operands_ensure_difference(e, keys + 1, count - 1);
}
