/* What is near a place: GEOSEARCH, GEOSEARCHSTORE and the older GEORADIUS commands. Source: geo.c
 * of Redis 7.2, which also decides in which order errors are found. */
#include "server/call.h"
#include "server/commands/geo_args.h"
#include "server/commands/geo_hits.h"
#include "server/commands/rows.h"
#include "server/commands/tables.h"
#include "server/commands/zset_edit.h"

#include "codec/mem.h"
#include "storage/types/zset_ensure.h"

#include <math.h>
#include <stdlib.h>

enum form {
    FORM_PLACE,  /* GEORADIUS key longitude latitude radius unit … */
    FORM_MEMBER, /* GEORADIUSBYMEMBER key member radius unit … */
    FORM_SEARCH, /* GEOSEARCH [destination] key … */
};
enum order { ORDER_NONE, ORDER_ASCENDING, ORDER_DESCENDING };

struct search {
    struct call *c;
    enum form form;
    bool stores_first; /* GEOSEARCHSTORE: the destination is the first argument */
    bool may_store;    /* takes STORE and STOREDIST with a key */
    const struct object *o;
    struct ensure *ensure; /* the request is looked at for what it needs; NULL: it runs */
    enum ensured ensured;  /* what that has come to so far */
    struct geo_shape shape;
    bool has_member, has_place, has_radius, has_box;
    bool with_distance, with_hash, with_place;
    bool any;
    bool stores, stores_distance;
    enum order order;
    int64_t count; /* 0: all */
};

/* ---- Arguments. */

static bool place_of_member(struct search *search, int arg)
{
    struct zset_found found;
    struct call *c = search->c;
    if (search->o == NULL)
        return true; /* the reply will be empty, unless there is another error */
    if (search->ensure != NULL) {
        search->ensured = zset_ensure_members(search->ensure, &c->argv[arg], 1, 1);
        if (search->ensured != ENSURED)
            return false;
    }
    if (!zset_find(search->o, c->argv[arg], &found)) {
        reply_error(c->reply, "ERR could not decode requested zset member");
        return false;
    }
    search->shape.center = geo_place_of_score(found.score);
    return true;
}

/* The arguments in fixed places. Returns where the others begin; 0: an error was replied. */
static int parse_fixed(struct search *search)
{
    struct call *c = search->c;
    switch (search->form) {
    case FORM_PLACE:
        return geo_arg_place(c, 2, &search->shape.center) && geo_arg_radius(c, 4, &search->shape)
                   ? 6
                   : 0;
    case FORM_MEMBER:
        if (search->o == NULL)
            return 5;
        return place_of_member(search, 2) && geo_arg_radius(c, 3, &search->shape) ? 5 : 0;
    case FORM_SEARCH:
        break;
    }
    return search->stores_first ? 3 : 2;
}

static int parse_count(struct search *search, int arg)
{
    struct call *c = search->c;
    if (!call_arg_i64(c, arg, &search->count))
        return 0;
    if (search->count > 0)
        return 2;
    reply_error(c->reply, "ERR COUNT must be > 0");
    return 0;
}

/* Options that only GEOSEARCH and GEOSEARCHSTORE have; as parse_option. */
static int parse_search_option(struct search *search, int i)
{
    struct call *c = search->c;
    int behind = c->argc - i - 1;
    if (search->stores_first && call_arg_is(c, i, "storedist")) {
        search->stores_distance = true;
        return 1;
    }
    if (behind >= 1 && !search->has_place && call_arg_is(c, i, "frommember")) {
        search->has_member = true;
        return place_of_member(search, i + 1) ? 2 : 0;
    }
    if (behind >= 2 && !search->has_member && call_arg_is(c, i, "fromlonlat")) {
        search->has_place = true;
        return geo_arg_place(c, i + 1, &search->shape.center) ? 3 : 0;
    }
    if (behind >= 2 && !search->has_box && call_arg_is(c, i, "byradius")) {
        search->has_radius = true;
        return geo_arg_radius(c, i + 1, &search->shape) ? 3 : 0;
    }
    if (behind >= 3 && !search->has_radius && call_arg_is(c, i, "bybox")) {
        search->has_box = true;
        return geo_arg_box(c, i + 1, &search->shape) ? 4 : 0;
    }
    reply_error_id(c->reply, ERROR_SYNTAX);
    return 0;
}

/* Reads the option at `i`. Returns how many arguments it has, 0 after an error. */
static int parse_option(struct search *search, int i)
{
    struct call *c = search->c;
    bool has_value = i + 1 < c->argc;
    if (call_arg_is(c, i, "withdist")) {
        search->with_distance = true;
    } else if (call_arg_is(c, i, "withhash")) {
        search->with_hash = true;
    } else if (call_arg_is(c, i, "withcoord")) {
        search->with_place = true;
    } else if (call_arg_is(c, i, "any")) {
        search->any = true;
    } else if (call_arg_is(c, i, "asc")) {
        search->order = ORDER_ASCENDING;
    } else if (call_arg_is(c, i, "desc")) {
        search->order = ORDER_DESCENDING;
    } else if (has_value && call_arg_is(c, i, "count")) {
        return parse_count(search, i + 1);
    } else if (has_value && search->may_store &&
               (call_arg_is(c, i, "store") || call_arg_is(c, i, "storedist"))) {
        search->stores = true;
        search->stores_distance = call_arg_is(c, i, "storedist");
        return 2;
    } else if (search->form == FORM_SEARCH) {
        return parse_search_option(search, i);
    } else {
        reply_error_id(c->reply, ERROR_SYNTAX);
        return 0;
    }
    return 1;
}

/* Looks at the options together; false: an error was replied. */
static bool check(const struct search *search)
{
    struct call *c = search->c;
    bool searches = search->form == FORM_SEARCH;
    if (search->stores && (search->with_distance || search->with_hash || search->with_place))
        reply_error_format(c->reply,
                           "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
                           searches ? "GEOSEARCHSTORE" : "STORE option in GEORADIUS");
    else if (searches && !search->has_member && !search->has_place)
        reply_error_format(c->reply,
                           "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s",
                           (int)c->argv[0].len, (const char *)c->argv[0].data);
    else if (searches && !search->has_radius && !search->has_box)
        reply_error_format(c->reply,
                           "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s",
                           (int)c->argv[0].len, (const char *)c->argv[0].data);
    else if (search->any && search->count == 0)
        reply_error(c->reply, "ERR the ANY argument requires COUNT argument");
    else
        return true;
    return false;
}

/* ---- Finding. */

static uint64_t rank_of_score(const struct object *o, uint64_t score)
{
    struct order_bound bound = {.score = (double)score};
    return zset_seek(o, &bound);
}

/* Finds what is in a cell and in the shape, up to `limit` hits in all (0: no limit). */
static void search_cell(const struct search *search, struct geo_cell cell, size_t limit,
                        struct geo_hits *hits)
{
    uint64_t from, to;
    struct zset_walk walk;
    struct bytes member;
    struct geo_hit hit = {.index = 0};
    geo_cell_scores(cell, &from, &to);
    uint64_t rank = rank_of_score(search->o, from);
    uint64_t end = rank_of_score(search->o, to);
    zset_walk_init(&walk, search->o, rank, false);
    for (; rank < end && zset_walk_next(&walk, &member, &hit.score); rank++) {
        hit.place = geo_place_of_score(hit.score);
        if (geo_shape_has(&search->shape, hit.place, &hit.distance))
            geo_hits_add(hits, hit, member);
        if (limit != 0 && hits->count >= limit)
            return;
    }
}

static void find_hits(const struct search *search, struct geo_hits *hits)
{
    struct geo_cells cells = geo_shape_cells(&search->shape);
    size_t limit = search->any ? (size_t)search->count : 0;
    for (int i = 0; i < GEO_CELLS; i++) {
        if (limit != 0 && hits->count >= limit)
            break;
        if (cells.cell[i].step != 0)
            search_cell(search, cells.cell[i], limit, hits);
    }
}

static void sort_hits(const struct search *search, struct geo_hits *hits, size_t wanted)
{
    enum order order = search->order;
    if (order == ORDER_NONE && search->count != 0 && !search->any)
        order = ORDER_ASCENDING;
    if (order != ORDER_NONE)
        geo_hits_sort(hits, wanted, order == ORDER_DESCENDING);
}

/* ---- Replying and storing. */

static void reply_hits(const struct search *search, const struct geo_hits *hits, size_t count)
{
    struct reply *r = search->c->reply;
    uint64_t extras = (uint64_t)search->with_distance + search->with_hash + search->with_place;
    reply_array(r, count);
    for (size_t i = 0; i < count; i++) {
        const struct geo_hit *hit = &hits->items[i];
        if (extras != 0)
            reply_array(r, 1 + extras);
        reply_bulk(r, geo_hits_member(hits, hit));
        if (search->with_distance)
            geo_reply_distance(r, hit->distance / search->shape.unit);
        if (search->with_hash)
            reply_integer(r, (int64_t)hit->score);
        if (search->with_place)
            geo_reply_place(r, hit->place);
    }
}

static void store_hits(const struct search *search, const struct geo_hits *hits, size_t count)
{
    struct call *c = search->c;
    struct zset_build *build = zset_build_create(ks_value_rules(c->ks));
    for (size_t i = 0; i < count; i++) {
        const struct geo_hit *hit = &hits->items[i];
        zset_build_add(build, geo_hits_member(hits, hit),
                       search->stores_distance ? hit->distance / search->shape.unit : hit->score);
    }
    zset_store_result(c, search->stores_first ? 0 : 1, build,
                      search->form == FORM_SEARCH ? "geosearchstore" : "georadiusstore");
}

/* All arguments; false: an error was replied. */
static bool parse(struct search *search)
{
    search->stores = search->stores_first;
    int i = parse_fixed(search);
    if (i == 0)
        return false;
    while (i < search->c->argc) {
        int used = parse_option(search, i);
        if (used == 0)
            return false;
        i += used;
    }
    return check(search);
}

static void run(struct search search)
{
    struct call *c = search.c;
    struct geo_hits hits = {0};
    bool wrong_type = false;
    search.o = call_find_read_type(c, search.stores_first ? 1 : 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type || !parse(&search))
        return;
    if (search.o != NULL)
        find_hits(&search, &hits);
    size_t count = hits.count;
    if (search.count != 0 && (uint64_t)search.count < count)
        count = (size_t)search.count;
    sort_hits(&search, &hits, count);
    if (search.stores)
        store_hits(&search, &hits, count);
    else
        reply_hits(&search, &hits, count);
    geo_hits_deinit(&hits);
}

/* ---- What a search needs of a large set: the leaves of the cells that it looks into. */

static enum ensured ensure_cell(struct ensure *e, struct geo_cell cell)
{
    uint64_t from, to;
    geo_cell_scores(cell, &from, &to);
    struct order_bound lower = {.score = (double)from};
    struct order_bound upper = {.score = (double)to};
    enum ensured result =
        zset_ensure_both(zset_ensure_seek(e, &lower), zset_ensure_seek(e, &upper));
    if (result != ENSURED)
        return result;
    return zset_ensure_ranks(e, zset_seek(e->o, &lower), zset_seek(e->o, &upper));
}

/* Parses the arguments as the request itself will, but replies nothing. */
static enum ensured ensure_search(struct ensure *e, const struct bytes *argv, int argc,
                                  struct search search)
{
    if (e->o->type != OBJECT_ZSET)
        return ENSURED;
    struct reply nobody = {.resp = 2, .muted = true};
    struct call call = {.argv = argv, .argc = argc, .reply = &nobody};
    search.c = &call;
    search.o = e->o;
    search.ensure = e;
    search.ensured = ENSURED;
    if (!parse(&search))
        return search.ensured;
    struct geo_cells cells = geo_shape_cells(&search.shape);
    enum ensured result = zset_ensure_order(e);
    if (result != ENSURED)
        return result;
    for (int i = 0; i < GEO_CELLS; i++)
        if (cells.cell[i].step != 0)
            result = zset_ensure_both(result, ensure_cell(e, cells.cell[i]));
    return result;
}

static const struct search georadius = {.form = FORM_PLACE, .may_store = true};
static const struct search georadius_ro = {.form = FORM_PLACE};
static const struct search georadiusbymember = {.form = FORM_MEMBER, .may_store = true};
static const struct search georadiusbymember_ro = {.form = FORM_MEMBER};
static const struct search geosearch = {.form = FORM_SEARCH};
static const struct search geosearchstore = {.form = FORM_SEARCH, .stores_first = true};

static void cmd_georadius(struct call *c)
{
    struct search search = georadius;
    search.c = c;
    run(search);
}

static enum ensured ensure_georadius(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_search(e, argv, argc, georadius);
}

static void cmd_georadius_ro(struct call *c)
{
    struct search search = georadius_ro;
    search.c = c;
    run(search);
}

static enum ensured ensure_georadius_ro(struct ensure *e, const struct bytes *argv, int argc,
                                        int key)
{
    (void)key;
    return ensure_search(e, argv, argc, georadius_ro);
}

static void cmd_georadiusbymember(struct call *c)
{
    struct search search = georadiusbymember;
    search.c = c;
    run(search);
}

static enum ensured ensure_georadiusbymember(struct ensure *e, const struct bytes *argv, int argc,
                                             int key)
{
    (void)key;
    return ensure_search(e, argv, argc, georadiusbymember);
}

static void cmd_georadiusbymember_ro(struct call *c)
{
    struct search search = georadiusbymember_ro;
    search.c = c;
    run(search);
}

static enum ensured ensure_georadiusbymember_ro(struct ensure *e, const struct bytes *argv,
                                                int argc, int key)
{
    (void)key;
    return ensure_search(e, argv, argc, georadiusbymember_ro);
}

static void cmd_geosearch(struct call *c)
{
    struct search search = geosearch;
    search.c = c;
    run(search);
}

static enum ensured ensure_geosearch(struct ensure *e, const struct bytes *argv, int argc, int key)
{
    (void)key;
    return ensure_search(e, argv, argc, geosearch);
}

static void cmd_geosearchstore(struct call *c)
{
    struct search search = geosearchstore;
    search.c = c;
    run(search);
}

static enum ensured ensure_geosearchstore(struct ensure *e, const struct bytes *argv, int argc,
                                          int key)
{
    if (key == 0)
        return ENSURED; /* it is overwritten */
    return ensure_search(e, argv, argc, geosearchstore);
}

/* The key behind the last STORE or STOREDIST is written. */
static int keys_of_georadius(const struct bytes *argv, int argc, struct key_arg *out, int max)
{
    int store = 0;
    for (int i = 5; i + 1 < argc; i++)
        if (bytes_equal_nocase(argv[i], "store") || bytes_equal_nocase(argv[i], "storedist"))
            store = ++i;
    if (max > 0)
        out[0] = (struct key_arg){.index = 1, .flags = KEY_RO | KEY_ACCESS};
    if (max > 1 && store != 0)
        out[1] = (struct key_arg){.index = store, .flags = KEY_OW | KEY_UPDATE | KEY_LOAD_META};
    return store == 0 ? 1 : 2;
}

const struct command cmd_geo_search_table[] = {
    {.name = "georadius",
     .handler = cmd_georadius,
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS),
              {.flags = KEY_OW | KEY_UPDATE,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STORE",
               .index = 6,
               .last_or_keynum = 0,
               .step_or_first = 1},
              {.flags = KEY_OW | KEY_UPDATE,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STOREDIST",
               .index = 6,
               .last_or_keynum = 0,
               .step_or_first = 1}},
     .keys_fn = keys_of_georadius,
     .ensure = ensure_georadius,
     .group = "geo",
     .since = "3.2.0",
     .complexity =
         "O(N+log(M)) where N is the number of elements inside the bounding box of the circular "
         "area delimited by center and radius and M is the number of items inside the index.",
     .summary = "Queries a geospatial index for members within a distance from a coordinate, "
                "optionally stores the result.",
     .history = TEXTS("6.2.0", "Added the `ANY` option for `COUNT`.", "7.0.0",
                      "Added support for uppercase unit names."),
     .args = ARGS(
         ARG("key", KEY), ARG("longitude", DOUBLE), ARG("latitude", DOUBLE), ARG("radius", DOUBLE),
         ARG("unit", ONEOF,
             .children =
                 ARGS(TOKEN("m", "m"), TOKEN("km", "km"), TOKEN("ft", "ft"), TOKEN("mi", "mi"))),
         TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),
         TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL),
         TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL),
         ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
             .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                              TOKEN("any", "ANY", .flags = ARG_OPTIONAL, .since = "6.2.0"))),
         ARG("order", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
         ARG("store", ONEOF, .flags = ARG_OPTIONAL,
             .children =
                 ARGS(ARG("storekey", KEY, .key_spec_index = 1, .display = "key", .token = "STORE"),
                      ARG("storedistkey", KEY, .key_spec_index = 2, .display = "key",
                          .token = "STOREDIST")))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"},
    {.name = "georadius_ro",
     .handler = cmd_georadius_ro,
     .arity = -6,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_georadius_ro,
     .group = "geo",
     .since = "3.2.10",
     .complexity =
         "O(N+log(M)) where N is the number of elements inside the bounding box of the circular "
         "area delimited by center and radius and M is the number of items inside the index.",
     .summary =
         "Returns members from a geospatial index that are within a distance from a coordinate.",
     .history = TEXTS("6.2.0", "Added the `ANY` option for `COUNT`."),
     .args = ARGS(
         ARG("key", KEY), ARG("longitude", DOUBLE), ARG("latitude", DOUBLE), ARG("radius", DOUBLE),
         ARG("unit", ONEOF,
             .children =
                 ARGS(TOKEN("m", "m"), TOKEN("km", "km"), TOKEN("ft", "ft"), TOKEN("mi", "mi"))),
         TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),
         TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL),
         TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL),
         ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
             .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                              TOKEN("any", "ANY", .flags = ARG_OPTIONAL, .since = "6.2.0"))),
         ARG("order", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC")))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` argument"},
    {.name = "georadiusbymember",
     .handler = cmd_georadiusbymember,
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS),
              {.flags = KEY_OW | KEY_UPDATE,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STORE",
               .index = 5,
               .last_or_keynum = 0,
               .step_or_first = 1},
              {.flags = KEY_OW | KEY_UPDATE,
               .begin = KEY_BEGIN_KEYWORD,
               .keyword = "STOREDIST",
               .index = 5,
               .last_or_keynum = 0,
               .step_or_first = 1}},
     .keys_fn = keys_of_georadius,
     .ensure = ensure_georadiusbymember,
     .group = "geo",
     .since = "3.2.0",
     .complexity =
         "O(N+log(M)) where N is the number of elements inside the bounding box of the circular "
         "area delimited by center and radius and M is the number of items inside the index.",
     .summary = "Queries a geospatial index for members within a distance from a member, "
                "optionally stores the result.",
     .history = TEXTS("7.0.0", "Added support for uppercase unit names."),
     .args = ARGS(ARG("key", KEY), ARG("member", STRING), ARG("radius", DOUBLE),
                  ARG("unit", ONEOF,
                      .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"), TOKEN("ft", "ft"),
                                       TOKEN("mi", "mi"))),
                  TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),
                  TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL),
                  TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL),
                  ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                                       TOKEN("any", "ANY", .flags = ARG_OPTIONAL))),
                  ARG("order", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
                  ARG("store", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("storekey", KEY, .key_spec_index = 1, .display = "key",
                                           .token = "STORE"),
                                       ARG("storedistkey", KEY, .key_spec_index = 2,
                                           .display = "key", .token = "STOREDIST")))),
     .deprecated_since = "6.2.0",
     .replaced_by =
         "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "georadiusbymember_ro",
     .handler = cmd_georadiusbymember_ro,
     .arity = -5,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_georadiusbymember_ro,
     .group = "geo",
     .since = "3.2.10",
     .complexity =
         "O(N+log(M)) where N is the number of elements inside the bounding box of the circular "
         "area delimited by center and radius and M is the number of items inside the index.",
     .summary = "Returns members from a geospatial index that are within a distance from a member.",
     .args = ARGS(ARG("key", KEY), ARG("member", STRING), ARG("radius", DOUBLE),
                  ARG("unit", ONEOF,
                      .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"), TOKEN("ft", "ft"),
                                       TOKEN("mi", "mi"))),
                  TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),
                  TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL),
                  TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL),
                  ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
                      .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                                       TOKEN("any", "ANY", .flags = ARG_OPTIONAL))),
                  ARG("order", ONEOF, .flags = ARG_OPTIONAL,
                      .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC")))),
     .deprecated_since = "6.2.0",
     .replaced_by = "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"},
    {.name = "geosearch",
     .handler = cmd_geosearch,
     .arity = -7,
     .flags = CMD_READONLY,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_geosearch,
     .group = "geo",
     .since = "6.2.0",
     .complexity =
         "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area "
         "around the shape provided as the filter and M is the number of items inside the shape",
     .summary = "Queries a geospatial index for members inside an area of a box or a circle.",
     .history = TEXTS("7.0.0", "Added support for uppercase unit names."),
     .args = ARGS(
         ARG("key", KEY),
         ARG("from", ONEOF,
             .children = ARGS(
                 ARG("member", STRING, .token = "FROMMEMBER"),
                 ARG("fromlonlat", BLOCK, .token = "FROMLONLAT",
                     .children = ARGS(ARG("longitude", DOUBLE), ARG("latitude", DOUBLE))))),
         ARG("by", ONEOF,
             .children = ARGS(
                 ARG("circle", BLOCK,
                     .children = ARGS(ARG("radius", DOUBLE, .token = "BYRADIUS"),
                                      ARG("unit", ONEOF,
                                          .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"),
                                                           TOKEN("ft", "ft"), TOKEN("mi", "mi"))))),
                 ARG("box", BLOCK,
                     .children =
                         ARGS(ARG("width", DOUBLE, .token = "BYBOX"), ARG("height", DOUBLE),
                              ARG("unit", ONEOF,
                                  .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"),
                                                   TOKEN("ft", "ft"), TOKEN("mi", "mi"))))))),
         ARG("order", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
         ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
             .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                              TOKEN("any", "ANY", .flags = ARG_OPTIONAL))),
         TOKEN("withcoord", "WITHCOORD", .flags = ARG_OPTIONAL),
         TOKEN("withdist", "WITHDIST", .flags = ARG_OPTIONAL),
         TOKEN("withhash", "WITHHASH", .flags = ARG_OPTIONAL))},
    {.name = "geosearchstore",
     .handler = cmd_geosearchstore,
     .arity = -8,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_GEO,
     .keys = {KEY_AT(1, KEY_OW | KEY_UPDATE | KEY_LOAD_META), KEY_AT(2, KEY_RO | KEY_ACCESS)},
     .ensure = ensure_geosearchstore,
     .group = "geo",
     .since = "6.2.0",
     .complexity =
         "O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area "
         "around the shape provided as the filter and M is the number of items inside the shape",
     .summary = "Queries a geospatial index for members inside an area of a box or a circle, "
                "optionally stores the result.",
     .history = TEXTS("7.0.0", "Added support for uppercase unit names."),
     .args = ARGS(
         ARG("destination", KEY), ARG("source", KEY, .key_spec_index = 1),
         ARG("from", ONEOF,
             .children = ARGS(
                 ARG("member", STRING, .token = "FROMMEMBER"),
                 ARG("fromlonlat", BLOCK, .token = "FROMLONLAT",
                     .children = ARGS(ARG("longitude", DOUBLE), ARG("latitude", DOUBLE))))),
         ARG("by", ONEOF,
             .children = ARGS(
                 ARG("circle", BLOCK,
                     .children = ARGS(ARG("radius", DOUBLE, .token = "BYRADIUS"),
                                      ARG("unit", ONEOF,
                                          .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"),
                                                           TOKEN("ft", "ft"), TOKEN("mi", "mi"))))),
                 ARG("box", BLOCK,
                     .children =
                         ARGS(ARG("width", DOUBLE, .token = "BYBOX"), ARG("height", DOUBLE),
                              ARG("unit", ONEOF,
                                  .children = ARGS(TOKEN("m", "m"), TOKEN("km", "km"),
                                                   TOKEN("ft", "ft"), TOKEN("mi", "mi"))))))),
         ARG("order", ONEOF, .flags = ARG_OPTIONAL,
             .children = ARGS(TOKEN("asc", "ASC"), TOKEN("desc", "DESC"))),
         ARG("count-block", BLOCK, .flags = ARG_OPTIONAL,
             .children = ARGS(ARG("count", INTEGER, .token = "COUNT"),
                              TOKEN("any", "ANY", .flags = ARG_OPTIONAL))),
         TOKEN("storedist", "STOREDIST", .flags = ARG_OPTIONAL))},
    {.name = NULL},
};
