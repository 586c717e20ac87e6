/* Least frequently used: the logarithmic counter of Redis, in the object's access word
 * (keyspace.h). It grows with odds that sink as it gets larger, and decays by one per period
 * without access. */
#include "storage/keyspace.h"
#include "storage/tier.h"

#define LFU_INITIAL 5

static uint32_t lfu_minutes(const struct keyspace *ks)
{
    return ks->clock.seconds / 60 & 0xffff;
}

uint8_t ks_frequency(const struct keyspace *ks, const struct object *o)
{
    if ((o->access & OBJECT_ACCESS_LFU) == 0)
        return LFU_INITIAL;
    uint32_t counter = o->access & 0xff;
    uint32_t elapsed = (lfu_minutes(ks) - (o->access >> 8)) & 0xffff;
    uint32_t periods = ks->clock.lfu_decay_minutes == 0 ? 0 : elapsed / ks->clock.lfu_decay_minutes;
    return (uint8_t)(periods > counter ? 0 : counter - periods);
}

void ks_touch_lfu(struct keyspace *ks, struct object *o)
{
    uint32_t counter = ks_frequency(ks, o);
    if ((o->access & OBJECT_ACCESS_LFU) != 0 && counter < 255) {
        uint32_t base = counter > LFU_INITIAL ? counter - LFU_INITIAL : 0;
        uint32_t odds = base * ks->clock.lfu_log_factor + 1;
        if (ks_random(ks) % odds == 0)
            counter++;
    }
    o->access = OBJECT_ACCESS_LFU | lfu_minutes(ks) << 8 | counter;
}

void ks_set_idle(struct keyspace *ks, struct object *o, uint64_t idle_s)
{
    if (!ks->clock.lfu)
        o->access = ks->clock.seconds > idle_s ? ks->clock.seconds - (uint32_t)idle_s : 0;
}

void ks_set_frequency(struct keyspace *ks, struct object *o, uint8_t counter)
{
    if (ks->clock.lfu)
        o->access = OBJECT_ACCESS_LFU | lfu_minutes(ks) << 8 | counter;
}
