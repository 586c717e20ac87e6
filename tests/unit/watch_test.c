/* Goal: a session is marked when, and only when, what it saw of a watched key is true no more.
 * Method: small cases, one per reason, and a random walk that is compared with a plain list. */
#include "server/watch.h"

#include "codec/mem.h"
#include "server/session.h"
#include "tests/support/harness.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSIONS 5
#define KEYS     40
#define DBS      3
#define STEPS    200000
#define FOREVER  INT64_MAX

struct watcher {
    struct session session; /* first: a session's watcher is found from it */
    struct watch_list list;
    bool marked;
};

struct room {
    struct watches *watches;
    struct watcher watchers[SESSIONS];
    bool live_elsewhere[KEYS]; /* what is_live says */
    int asked;
};

static struct watch_key key_of(uint32_t db, unsigned number, char name[16])
{
    int len = snprintf(name, 16, "k%u", number);
    return (struct watch_key){
        .db = db, .position = number % 7, .name = bytes_make(name, (size_t)len)};
}

static void mark(void *arg, struct session *session)
{
    struct room *room = arg;
    struct watcher *watcher = (struct watcher *)session;
    watcher->marked = true;
    watch_drop_all(room->watches, &watcher->list);
}

static bool is_live(void *arg, const struct watch_key *key)
{
    struct room *room = arg;
    room->asked++;
    unsigned number;
    char name[16];
    (void)snprintf(name, sizeof(name), "%.*s", (int)key->name.len, (const char *)key->name.data);
    assert_int_equal(sscanf(name, "k%u", &number), 1);
    return room->live_elsewhere[number];
}

static void enter(struct room *room)
{
    *room = (struct room){.watches = watches_create()};
}

static void leave(struct room *room)
{
    for (int i = 0; i < SESSIONS; i++)
        watch_drop_all(room->watches, &room->watchers[i].list);
    assert_int_equal(watches_key_count(room->watches), 0);
    watches_destroy(room->watches);
}

static void watch(struct room *room, int who, uint32_t db, unsigned number, bool live, int64_t at)
{
    char name[16];
    struct watch_key key = key_of(db, number, name);
    watch_add(room->watches, &room->watchers[who].session, &room->watchers[who].list, &key, live,
              at);
}

static void touch(struct room *room, uint32_t db, unsigned number)
{
    char name[16];
    struct watch_key key = key_of(db, number, name);
    watch_touch(room->watches, &key, mark, room);
}

static void touch_expired(struct room *room, uint32_t db, unsigned number)
{
    char name[16];
    struct watch_key key = key_of(db, number, name);
    watch_touch_expired(room->watches, &key, mark, room);
}

static void a_change_marks_all_who_watch_that_key_in_that_database(void **state)
{
    (void)state;
    struct room room;
    enter(&room);
    watch(&room, 0, 0, 1, true, FOREVER);
    watch(&room, 0, 0, 2, true, FOREVER);
    watch(&room, 1, 0, 1, false, FOREVER);
    watch(&room, 2, 1, 1, true, FOREVER);
    watch(&room, 3, 0, 8, true, FOREVER); /* of the same position */
    touch(&room, 0, 3);
    assert_int_equal(watches_key_count(room.watches), 4);
    touch(&room, 0, 1);
    assert_true(room.watchers[0].marked);
    assert_true(room.watchers[1].marked);
    assert_false(room.watchers[2].marked);
    assert_false(room.watchers[3].marked);
    assert_int_equal(room.watchers[0].list.count, 0); /* the other key too */
    assert_int_equal(room.watchers[0].list.bytes, 0);
    assert_int_equal(watches_key_count(room.watches), 2);
    leave(&room);
}

static void watching_a_key_twice_is_watching_it_once(void **state)
{
    (void)state;
    struct room room;
    enter(&room);
    for (int who = 0; who < 3; who++)
        watch(&room, who, 0, 1, true, FOREVER);
    watch(&room, 0, 0, 1, false, 5);
    watch(&room, 1, 0, 2, true, FOREVER);
    watch(&room, 1, 0, 2, true, FOREVER);
    assert_int_equal(room.watchers[0].list.count, 1);
    assert_int_equal(room.watchers[1].list.count, 2);
    assert_false(watch_has_expired(&room.watchers[0].list, 10)); /* the first one counts */
    leave(&room);
}

static void a_key_that_was_there_expires_when_its_time_has_come(void **state)
{
    (void)state;
    struct room room;
    enter(&room);
    watch(&room, 0, 0, 1, true, 1000);
    watch(&room, 1, 0, 1, false, 1000); /* expired before, not deleted yet */
    watch(&room, 2, 0, 1, true, FOREVER);
    assert_false(watch_has_expired(&room.watchers[0].list, 999));
    assert_true(watch_has_expired(&room.watchers[0].list, 1000));
    assert_false(watch_has_expired(&room.watchers[1].list, 1000));
    assert_false(watch_has_expired(&room.watchers[2].list, INT64_MAX - 1));
    touch_expired(&room, 0, 1);
    assert_true(room.watchers[0].marked);
    assert_false(room.watchers[1].marked);
    touch(&room, 0, 1);
    assert_true(room.watchers[1].marked);
    leave(&room);
}

static void an_emptied_database_marks_who_saw_one_of_its_keys(void **state)
{
    (void)state;
    struct room room;
    enter(&room);
    watch(&room, 0, 0, 1, false, FOREVER);
    watch(&room, 1, 0, 1, true, FOREVER);
    watch(&room, 1, 0, 2, true, FOREVER);
    watch(&room, 2, 1, 1, true, FOREVER);
    watch_touch_db(room.watches, 0, NULL, NULL, mark, &room);
    assert_false(room.watchers[0].marked);
    assert_true(room.watchers[1].marked);
    assert_false(room.watchers[2].marked);
    leave(&room);
}

static void note_key(void *arg, const struct watch_key *key)
{
    (void)key;
    ++*(int *)arg;
}

static void an_exchanged_database_marks_also_who_will_see_a_key(void **state)
{
    (void)state;
    struct room room;
    enter(&room);
    watch(&room, 0, 0, 1, false, FOREVER);
    watch(&room, 1, 0, 2, false, FOREVER);
    watch(&room, 2, 0, 3, true, FOREVER);
    room.live_elsewhere[1] = true;
    int absent = 0;
    watch_visit_absent(room.watches, 0, note_key, &absent);
    assert_int_equal(absent, 2);
    watch_touch_db(room.watches, 0, is_live, &room, mark, &room);
    assert_int_equal(room.asked, 2);
    assert_true(room.watchers[0].marked);
    assert_false(room.watchers[1].marked);
    assert_true(room.watchers[2].marked);
    leave(&room);
}

/* ---- A random walk. */

struct plain {
    bool watched, live;
};

static struct plain plain[SESSIONS][DBS][KEYS];

static void plain_mark(int who)
{
    memset(plain[who], 0, sizeof(plain[who]));
}

static void check_marks(struct room *room, const bool expected[SESSIONS])
{
    for (int who = 0; who < SESSIONS; who++) {
        assert_int_equal(room->watchers[who].marked, expected[who]);
        room->watchers[who].marked = false;
        if (expected[who])
            plain_mark(who);
        size_t count = 0;
        for (int db = 0; db < DBS; db++)
            for (int key = 0; key < KEYS; key++)
                count += plain[who][db][key].watched;
        assert_int_equal(room->watchers[who].list.count, count);
    }
}

static void any_sequence_agrees_with_a_plain_list(void **state)
{
    (void)state;
    struct room room;
    unsigned seed = 7;
    enter(&room);
    for (int step = 0; step < STEPS; step++) {
        int who = rand_r(&seed) % SESSIONS;
        unsigned db = (unsigned)rand_r(&seed) % DBS, key = (unsigned)rand_r(&seed) % KEYS;
        bool expected[SESSIONS] = {0};
        int what = rand_r(&seed) % 100;
        if (what < 80) {
            bool live = rand_r(&seed) % 2 != 0;
            watch(&room, who, db, key, live, FOREVER);
            if (!plain[who][db][key].watched)
                plain[who][db][key] = (struct plain){.watched = true, .live = live};
        } else if (what < 90) {
            bool expired = what < 85;
            for (int i = 0; i < SESSIONS; i++)
                expected[i] = plain[i][db][key].watched && (plain[i][db][key].live || !expired);
            if (expired)
                touch_expired(&room, db, key);
            else
                touch(&room, db, key);
        } else if (what < 99) {
            watch_drop_all(room.watches, &room.watchers[who].list);
            plain_mark(who);
        } else {
            room.live_elsewhere[key] = !room.live_elsewhere[key];
            for (int i = 0; i < SESSIONS; i++)
                for (int k = 0; k < KEYS; k++)
                    expected[i] |=
                        plain[i][db][k].watched && (plain[i][db][k].live || room.live_elsewhere[k]);
            watch_touch_db(room.watches, db, is_live, &room, mark, &room);
        }
        check_marks(&room, expected);
    }
    leave(&room);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_change_marks_all_who_watch_that_key_in_that_database),
        TEST(watching_a_key_twice_is_watching_it_once),
        TEST(a_key_that_was_there_expires_when_its_time_has_come),
        TEST(an_emptied_database_marks_who_saw_one_of_its_keys),
        TEST(an_exchanged_database_marks_also_who_will_see_a_key),
        TEST(any_sequence_agrees_with_a_plain_list),
    };
    return RUN_TESTS("watch", tests);
}
