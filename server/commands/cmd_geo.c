/* Places in sorted sets: GEOADD, GEODIST, GEOHASH, GEOPOS. A place is a score (geo_cell.h). Source:
 * geo.c of Redis 7.2. */
#include "server/call.h"
#include "server/commands/geo_args.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_add.h"
#include "storage/types/zset.h"
#include "storage/types/zset_ensure.h"

#include "codec/mem.h"

#define PLACE_ARGS 3 /* longitude, latitude, member */

/* ---- GEOADD. */

/* Reads the options; returns the argument behind them. */
static int parse_options(const struct bytes *argv, int argc, unsigned *flags)
{
    int i = 2;
    for (; i < argc; i++) {
        if (bytes_equal_nocase(argv[i], "nx"))
            *flags |= ZSET_ADD_NX;
        else if (bytes_equal_nocase(argv[i], "xx"))
            *flags |= ZSET_ADD_XX;
        else if (bytes_equal_nocase(argv[i], "ch"))
            *flags |= ZSET_ADD_CH;
        else
            break;
    }
    return i;
}

/* What replicas get is the ZADD that it amounts to. */
static void effect_zadd(struct call *c, int first, const double *scores, int count)
{
    int argc = first + 2 * count;
    struct bytes *argv = mem_alloc((size_t)argc * sizeof *argv);
    char(*texts)[NUMBER_U64_CHARS_MAX] = mem_alloc((size_t)count * sizeof *texts);
    argv[0] = bytes_text("ZADD");
    for (int i = 1; i < first; i++)
        argv[i] = c->argv[i];
    for (int i = 0; i < count; i++) {
        size_t len = number_format_u64((uint64_t)scores[i], texts[i]);
        argv[first + 2 * i] = bytes_make(texts[i], len);
        argv[first + 2 * i + 1] = c->argv[first + PLACE_ARGS * i + 2];
    }
    call_effect(c, argc, argv);
    mem_free(texts);
    mem_free(argv);
}

static void add_places(struct call *c, unsigned flags, int first)
{
    int count = (c->argc - first) / PLACE_ARGS;
    double *scores = mem_alloc((size_t)count * sizeof *scores);
    bool valid = true;
    for (int i = 0; i < count && valid; i++) {
        struct geo_place place;
        valid = geo_arg_place(c, first + PLACE_ARGS * i, &place);
        if (valid)
            scores[i] = (double)geo_score(place);
    }
    if (valid) {
        struct zset_add add = {.flags = flags,
                               .scores = scores,
                               .count = count,
                               .first_member = first + 2,
                               .step = PLACE_ARGS};
        if (zset_add_elements(c, &add) != 0)
            effect_zadd(c, first, scores, count);
    }
    mem_free(scores);
}

/* What that needs of a large set. */
static enum ensured ensure_geoadd(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    unsigned flags = 0;
    int first = parse_options(argv, argc, &flags);
    int count = (argc - first) / PLACE_ARGS;
    (void)key;
    if (e->o->type != OBJECT_ZSET || count == 0 || (argc - first) % PLACE_ARGS != 0)
        return ENSURED;
    double *scores = mem_alloc((size_t)count * sizeof *scores);
    bool valid = true;
    for (int i = 0; i < count && valid; i++) {
        struct geo_place place;
        const struct bytes *at = argv + first + PLACE_ARGS * i;
        valid = geo_read_place(at[0], at[1], &place);
        if (valid)
            scores[i] = (double)geo_score(place);
    }
    struct zset_scores needs = {
        .members = argv + first + 2, .count = (size_t)count, .step = PLACE_ARGS, .scores = scores};
    enum ensured result = valid ? zset_ensure_add(e, &needs) : ENSURED;
    mem_free(scores);
    return result;
}

static void cmd_geoadd(struct call *c)
{
    unsigned flags = 0;
    int first = parse_options(c->argv, c->argc, &flags);
    int rest = c->argc - first;
    bool contradicts = (flags & ZSET_ADD_NX) != 0 && (flags & ZSET_ADD_XX) != 0;
    if (rest == 0 || rest % PLACE_ARGS != 0 || contradicts)
        reply_error_id(c->reply, ERROR_SYNTAX);
    else
        add_places(c, flags, first);
}

/* ---- GEODIST, GEOHASH, GEOPOS. */

/* `o` may be NULL. */
static bool find_place(const struct object *o, struct bytes member, struct geo_place *out)
{
    struct zset_found found;
    if (o == NULL || !zset_find(o, member, &found))
        return false;
    *out = geo_place_of_score(found.score);
    return true;
}

static enum ensured ensure_listed(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return e->o->type == OBJECT_ZSET ? zset_ensure_members(e, argv + 2, (size_t)argc - 2, 1)
                                     : ENSURED;
}

static enum ensured ensure_geodist(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    return ensure_listed(e, argv, argc < 4 ? argc : 4, key);
}

static void cmd_geodist(struct call *c)
{
    double unit = 1;
    bool wrong_type = false;
    struct geo_place a, b;
    if (c->argc > 5) {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return;
    }
    if (c->argc == 5 && !geo_arg_unit(c, 4, &unit))
        return;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    if (find_place(o, c->argv[2], &a) && find_place(o, c->argv[3], &b))
        geo_reply_distance(c->reply, geo_distance(a, b) / unit);
    else
        reply_null(c->reply);
}

static void cmd_geohash(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct geo_place place;
        char text[GEO_TEXT_CHARS];
        if (!find_place(o, c->argv[i], &place)) {
            reply_null(c->reply);
            continue;
        }
        geo_text(place, text);
        reply_bulk(c->reply, bytes_make(text, sizeof text));
    }
}

static void cmd_geopos(struct call *c)
{
    bool wrong_type = false;
    const struct object *o = call_find_read_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return;
    reply_array(c->reply, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++) {
        struct geo_place place;
        if (find_place(o, c->argv[i], &place))
            geo_reply_place(c->reply, place);
        else
            reply_null_array(c->reply);
    }
}

const struct command cmd_geo_table[] = {
    {.name = "geoadd",
     .handler = cmd_geoadd,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RW | KEY_UPDATE)},
     .ensure = ensure_geoadd,
     .group = "geo",
     .since = "3.2.0",
     .complexity =
         "O(log(N)) for each item added, where N is the number of elements in the sorted set.",
     .summary =
         "Adds one or more members to a geospatial index. The key is created if it doesn't exist.",
     .history = TEXTS("6.2.0", "Added the `CH`, `NX` and `XX` options."),
     .args = ARGS(ARG("key", KEY),
                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "6.2.0",
                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX"))),
                  TOKEN("change", "CH", .flags = ARG_OPTIONAL, .since = "6.2.0"),
                  ARG("data", BLOCK, .flags = ARG_MULTIPLE,
                      .children = ARGS(ARG("longitude", DOUBLE), ARG("latitude", DOUBLE),
                                       ARG("member", STRING))))},
    {.name = "geodist",
     .handler = cmd_geodist,
     .arity = -4,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_geodist,
     .group = "geo",
     .since = "3.2.0",
     .complexity = "O(1)",
     .summary = "Returns the distance between two members of a geospatial index.",
     .args = ARGS(ARG("key", KEY), ARG("member1", STRING), ARG("member2", STRING),
                  ARG("unit", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"), TOKEN("ft", "ft"),
                                       TOKEN("mi", "mi"))))},
    {.name = "geohash",
     .handler = cmd_geohash,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_listed,
     .group = "geo",
     .since = "3.2.0",
     .complexity = "O(1) for each member requested.",
     .summary = "Returns members from a geospatial index as geohash strings.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = "geopos",
     .handler = cmd_geopos,
     .arity = -2,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_listed,
     .group = "geo",
     .since = "3.2.0",
     .complexity = "O(1) for each member requested.",
     .summary = "Returns the longitude and latitude of members from a geospatial index.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING, .flags = ARG_OPTIONAL | ARG_MULTIPLE))},
    {.name = NULL},
};
