/* Adding to sorted sets, for ZADD and what becomes one. */
#include "server/commands/zset_add.h"

#include "server/commands/zset_edit.h"

#include <math.h>

struct adding {
    struct call *c;
    const struct zset_add *add;
    struct object *o; /* NULL: no such key yet */
    bool changing;    /* ks_change_begin was called */
    bool processed;
    uint64_t added, updated;
    double result; /* the last score */
};

static struct bytes member_of(const struct adding *adding, int i)
{
    return adding->c->argv[adding->add->first_member + i * adding->add->step];
}

static void begin_change(struct adding *adding)
{
    struct call *c = adding->c;
    if (adding->changing)
        return;
    adding->changing = true;
    bool is_new = adding->o == NULL;
    if (is_new)
        adding->o = ks_create(c->ks, &c->keys[0], OBJECT_ZSET);
    ks_change_begin(c->ks, c->keys[0].db, adding->o);
    if (is_new)
        zset_init(adding->o, ks_value_rules(c->ks), (size_t)adding->add->count,
                  member_of(adding, 0).len);
}

/* Whether the options forbid to give an element with score `old` the score `score`. */
static bool forbids(unsigned flags, double old, double score)
{
    return ((flags & ZSET_ADD_LT) != 0 && score >= old) ||
           ((flags & ZSET_ADD_GT) != 0 && score <= old);
}

/* False: the score would be no number. */
static bool add_pair(struct adding *adding, struct bytes member, double score)
{
    const struct value_rules *rules = ks_value_rules(adding->c->ks);
    struct zset_found found;
    if (adding->o == NULL || !zset_find(adding->o, member, &found)) {
        if ((adding->add->flags & ZSET_ADD_XX) != 0)
            return true;
        begin_change(adding);
        zset_add(adding->o, rules, member, score);
        adding->added++;
    } else {
        if ((adding->add->flags & ZSET_ADD_NX) != 0)
            return true;
        if ((adding->add->flags & ZSET_ADD_INCR) != 0)
            score += found.score;
        if (isnan(score))
            return false;
        if (forbids(adding->add->flags, found.score, score))
            return true;
        if (score != found.score) {
            begin_change(adding);
            zset_rescore(adding->o, member, &found, score);
            adding->updated++;
        }
    }
    adding->processed = true;
    adding->result = score;
    return true;
}

static void add_all(struct adding *adding)
{
    struct call *c = adding->c;
    if (adding->o != NULL &&
        !zset_fits(adding->o, ks_value_rules(c->ks), (size_t)adding->add->count)) {
        begin_change(adding);
        zset_expect(adding->o, ks_value_rules(c->ks), (size_t)adding->add->count);
    }
    bool is_number = true;
    for (int i = 0; i < adding->add->count && is_number; i++)
        is_number = add_pair(adding, member_of(adding, i), adding->add->scores[i]);
    if (adding->changing)
        zset_settle(adding->o, ks_value_rules(c->ks));
    if (adding->changing)
        ks_change_end(c->ks, c->keys[0].db, adding->o);
    if (adding->added + adding->updated != 0) {
        bool increments = (adding->add->flags & ZSET_ADD_INCR) != 0;
        call_key_modified(c, &c->keys[0]);
        call_notify(c, NOTIFY_ZSET, increments ? "zincr" : "zadd", c->keys[0].key);
        call_changed(c, adding->added + adding->updated);
    }
    if (!is_number)
        reply_error(c->reply, "ERR resulting score is not a number (NaN)");
    else if ((adding->add->flags & ZSET_ADD_INCR) == 0)
        reply_integer(c->reply,
                      (int64_t)(adding->added +
                                ((adding->add->flags & ZSET_ADD_CH) != 0 ? adding->updated : 0)));
    else if (adding->processed)
        reply_double(c->reply, adding->result);
    else
        reply_null(c->reply);
}

uint64_t zset_add_elements(struct call *c, const struct zset_add *add)
{
    bool wrong_type = false;
    struct object *o = call_find_write_type(c, 0, OBJECT_ZSET, &wrong_type);
    if (wrong_type)
        return 0;
    struct adding adding = {.c = c, .add = add, .o = o};
    add_all(&adding);
    return adding.added + adding.updated;
}
