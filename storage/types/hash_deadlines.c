/* When the fields of a table are due. Two hints say when to look at a field, which itself decides:
 * a heap in RAM for those that were given a deadline, or were read, while the table was there,
 * whose entries stay when a field gets another deadline, or goes; and, for a large hash, an element
 * record per deadline, written with the field and dropped with it. */
#include "codec/check.h"
#include "codec/mem.h"
#include "codec/record.h"
#include "storage/types/hash_internal.h"

#define ELEMENT_KIND         'D'
#define ELEMENT_PREFIX_BYTES 17  /* kind, deadline, position; the field follows */
#define RECORDS_PER_READ     256 /* of deadlines */
#define STALE_SLACK          64 /* entries of the heap beyond twice the fields that have deadlines */

struct hash_deadlines *hash_deadlines_of(struct hash_table *table)
{
    if (table->deadlines == NULL) {
        table->deadlines = mem_calloc(1, sizeof(*table->deadlines));
        table->deadlines->disk_ms = OBJECT_NO_EXPIRE;
    }
    return table->deadlines;
}

void hash_deadlines_destroy(struct hash_deadlines *deadlines)
{
    if (deadlines == NULL)
        return;
    mem_free(deadlines->heap);
    buf_deinit(&deadlines->due);
    mem_free(deadlines);
}

size_t hash_deadlines_bytes(const struct hash_table *table)
{
    const struct hash_deadlines *d = table->deadlines;
    return d == NULL ? 0 : sizeof(*d) + d->capacity * sizeof(*d->heap) + d->due.capacity;
}

static int64_t earlier(int64_t a, int64_t b)
{
    if (a == OBJECT_NO_EXPIRE || b == OBJECT_NO_EXPIRE)
        return a == OBJECT_NO_EXPIRE ? b : a;
    return a < b ? a : b;
}

int64_t hash_deadlines_next(const struct hash_table *table)
{
    const struct hash_deadlines *d = table->deadlines;
    if (d == NULL)
        return OBJECT_NO_EXPIRE;
    int64_t next_ms = d->due_count != 0 ? earlier(d->disk_ms, d->first_due_ms) : d->disk_ms;
    return earlier(next_ms, d->count != 0 ? d->heap[0].at_ms : OBJECT_NO_EXPIRE);
}

/* ---- The heap. */

static void sift_up(struct hash_deadlines *d, size_t at)
{
    struct hash_deadline moving = d->heap[at];
    for (; at > 0 && d->heap[(at - 1) / 2].at_ms > moving.at_ms; at = (at - 1) / 2)
        d->heap[at] = d->heap[(at - 1) / 2];
    d->heap[at] = moving;
}

static void sift_down(struct hash_deadlines *d, size_t at)
{
    struct hash_deadline moving = d->heap[at];
    for (size_t child; (child = 2 * at + 1) < d->count; at = child) {
        if (child + 1 < d->count && d->heap[child + 1].at_ms < d->heap[child].at_ms)
            child++;
        if (d->heap[child].at_ms >= moving.at_ms)
            break;
        d->heap[at] = d->heap[child];
    }
    d->heap[at] = moving;
}

static struct hash_deadline pop(struct hash_deadlines *d)
{
    struct hash_deadline top = d->heap[0];
    d->heap[0] = d->heap[--d->count];
    if (d->count != 0)
        sift_down(d, 0);
    return top;
}

/* Looks at the fields of one position. */
struct at_position {
    const struct hash_table *table;
    uint64_t position;
    int64_t until_ms; /* deadlines up to then are found */
    int64_t exactly_ms;
    struct buf *names; /* may be NULL */
    size_t count, exact;
};

static void look_at(void *arg, struct part *part)
{
    struct at_position *at = arg;
    if (!member_is_live(part) || (part->bits & PART_PREFIXED) == 0)
        return;
    struct bytes field = member_text(part);
    if (member_key(&at->table->members, field).position != at->position)
        return;
    at->exact += member_prefix(part) == at->exactly_ms;
    if (member_prefix(part) > at->until_ms)
        return;
    at->count++;
    if (at->names != NULL)
        hash_append_name(at->names, field);
}

/* Drops the entries that no field in RAM stands behind. What is not in RAM has its record. */
static void rebuild(struct hash_table *table)
{
    struct hash_deadlines *d = table->deadlines;
    size_t kept = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct at_position at = {.table = table,
                                 .position = d->heap[i].position,
                                 .until_ms = INT64_MIN,
                                 .exactly_ms = d->heap[i].at_ms};
        (void)member_table_walk(&table->members.table, at.position, look_at, &at);
        if (at.exact != 0)
            d->heap[kept++] = d->heap[i];
    }
    d->count = kept;
    for (size_t i = kept / 2; i-- > 0;)
        sift_down(d, i);
    d->rebuild_at = kept * 2 + STALE_SLACK;
}

static void push(struct hash_table *table, struct hash_deadline entry)
{
    struct hash_deadlines *d = hash_deadlines_of(table);
    if (d->count >= d->rebuild_at && d->count > STALE_SLACK)
        rebuild(table);
    if (d->count == d->capacity) {
        d->capacity = d->capacity == 0 ? 4 : d->capacity * 2;
        d->heap = mem_realloc(d->heap, d->capacity * sizeof(*d->heap));
    }
    d->heap[d->count++] = entry;
    sift_up(d, d->count - 1);
}

/* ---- Records of large hashes. */

static struct part *make_part(struct bytes field, uint64_t position, int64_t at_ms, uint8_t bits)
{
    size_t len = ELEMENT_PREFIX_BYTES + field.len;
    struct part *part = mem_alloc(PART_HEADER_BYTES + VARINT_BYTES_MAX + len);
    memset(part, 0, PART_HEADER_BYTES);
    part->bits = PART_DEADLINE | bits;
    uint8_t *at = part->data + varint_encode(len, part->data);
    at[0] = ELEMENT_KIND;
    store_be64(at + 1, (uint64_t)at_ms);
    store_be64(at + 9, position);
    if (field.len != 0)
        memcpy(at + ELEMENT_PREFIX_BYTES, field.data, field.len);
    return part;
}

void hash_encode_deadline(const struct part *part, struct part_sink *sink)
{
    size_t len;
    const uint8_t *at = part->data + member_varint(part->data, &len);
    memcpy(part_element(sink, len), at, len);
    if (member_is_live(part))
        part_put(sink, len, bytes_make("", 1));
    else
        part_delete(sink, len);
}

static void write_record(struct hash_table *table, struct bytes field, uint64_t position,
                         int64_t at_ms)
{
    parts_add_loose(&table->members.large->parts, make_part(field, position, at_ms, 0));
    table->deadlines->disk_ms = earlier(table->deadlines->disk_ms, at_ms);
}

static void drop_record(struct hash_table *table, struct bytes field, uint64_t position,
                        int64_t at_ms)
{
    parts_add_loose(&table->members.large->parts, make_part(field, position, at_ms, PART_GONE));
}

void hash_deadlines_add(struct hash_table *table, struct bytes field, uint64_t position,
                        int64_t at_ms)
{
    push(table, (struct hash_deadline){.at_ms = at_ms, .position = position});
    if (table->members.large != NULL)
        write_record(table, field, position, at_ms);
}

void hash_deadlines_drop(struct hash_table *table, struct bytes field, uint64_t position,
                         int64_t at_ms)
{
    if (table->members.large != NULL)
        drop_record(table, field, position, at_ms);
}

void hash_deadlines_settle(struct hash_table *table)
{
    if (table->deadlines == NULL)
        return;
    struct member_iter iter = member_iter_begin(&table->members.table);
    for (const struct part *part; (part = member_iter_next(&iter)) != NULL;) {
        struct bytes field = member_text(part);
        if ((part->bits & PART_PREFIXED) != 0)
            write_record(table, field, member_key(&table->members, field).position,
                         member_prefix(part));
    }
}

bool hash_is_deadline(struct bytes element)
{
    return element.len > 0 && element.data[0] == ELEMENT_KIND;
}

/* ---- Reading them. `due` has what was read and is due: deadline, i64 LE, and the field's name. */

enum status hash_install_deadline(struct hash_table *table, struct bytes element)
{
    struct hash_deadlines *d = hash_deadlines_of(table);
    if (element.len < ELEMENT_PREFIX_BYTES)
        return ST_CORRUPT;
    int64_t at_ms = (int64_t)load_be64(element.data + 1);
    struct bytes field =
        bytes_make(element.data + ELEMENT_PREFIX_BYTES, element.len - ELEMENT_PREFIX_BYTES);
    if (at_ms < 0 || load_be64(element.data + 9) != member_key(&table->members, field).position)
        return ST_CORRUPT;
    if (at_ms > d->due_ms) {
        d->behind_due_ms = earlier(d->behind_due_ms, at_ms);
        return ST_OK;
    }
    uint8_t bytes[8];
    store_le64(bytes, (uint64_t)at_ms);
    buf_append(&d->due, bytes, sizeof(bytes));
    hash_append_name(&d->due, field);
    d->first_due_ms = d->due_count++ == 0 ? at_ms : earlier(d->first_due_ms, at_ms);
    return ST_OK;
}

void hash_installed_deadlines(struct hash_table *table, struct bytes to)
{
    struct hash_deadlines *d = hash_deadlines_of(table);
    d->disk_ms = d->behind_due_ms;
    if (d->count != 0) /* its record may not have been written yet */
        d->disk_ms = earlier(d->disk_ms, d->heap[0].at_ms);
    if (hash_is_deadline(to) && to.len >= ELEMENT_PREFIX_BYTES) /* there are more */
        d->disk_ms = earlier(d->disk_ms, (int64_t)load_be64(to.data + 1));
    d->due_read = true;
}

bool hash_due_on_disk(const struct object *o, int64_t now_ms)
{
    const struct hash_deadlines *d = hash_is_table(o) ? hash_table(o)->deadlines : NULL;
    return d != NULL && o->large &&
           (d->due_read || (d->disk_ms != OBJECT_NO_EXPIRE && d->disk_ms <= now_ms));
}

/* Walks over `due`. */
static bool next_due(const struct buf *due, size_t *at, int64_t *at_ms, struct bytes *field)
{
    if (*at >= due->len)
        return false;
    *at_ms = (int64_t)load_le64(due->data + *at);
    *field = bytes_make(due->data + *at + 12, load_le32(due->data + *at + 8));
    *at += 12 + field->len;
    return true;
}

static void forget_due(struct hash_deadlines *d)
{
    buf_deinit(&d->due);
    d->due_count = 0;
    d->due_read = false;
    d->due_ready = false;
}

static enum ensured read_due(struct ensure *e, struct hash_deadlines *d, int64_t now_ms)
{
    static const uint8_t from[] = {ELEMENT_KIND};
    static const uint8_t to[] = {ELEMENT_KIND + 1};
    forget_due(d);
    d->due_ms = now_ms;
    d->behind_due_ms = OBJECT_NO_EXPIRE;
    return ensure_range(e, bytes_make(from, 1), bytes_make(to, 1), RECORDS_PER_READ);
}

enum ensured hash_ensure_due(struct ensure *e, int64_t now_ms)
{
    struct hash_table *table = hash_table(e->o);
    struct hash_deadlines *d = table->deadlines;
    if (!hash_due_on_disk(e->o, now_ms))
        return ENSURED;
    if (!d->due_read) {
        enum ensured result = read_due(e, d, now_ms);
        if (result != ENSURED)
            return result;
    }
    struct bytes *fields = mem_alloc((d->due_count + 1) * sizeof(*fields));
    size_t count = 0;
    size_t at = 0;
    int64_t at_ms;
    while (next_due(&d->due, &at, &at_ms, &fields[count]))
        count++;
    enum ensured result = members_ensure(e, &table->members, fields, count, 1);
    mem_free(fields);
    d->due_ready = result == ENSURED;
    return result;
}

/* ---- Collecting. */

static size_t collect_read(struct hash_table *table, int64_t now_ms, struct buf *names)
{
    struct hash_deadlines *d = table->deadlines;
    size_t count = 0;
    size_t at = 0;
    int64_t at_ms;
    struct bytes field;
    while (next_due(&d->due, &at, &at_ms, &field)) {
        struct member_key key = member_key(&table->members, field);
        const struct part *part = members_find(&table->members, &key);
        bool dated = part != NULL && (part->bits & PART_PREFIXED) != 0;
        if (dated && member_prefix(part) <= now_ms) {
            hash_append_name(names, field);
            count++;
        } else if (dated) { /* the clock was set back */
            d->disk_ms = earlier(d->disk_ms, member_prefix(part));
        }
        if (!dated || member_prefix(part) != at_ms) /* it would stay for ever */
            drop_record(table, field, key.position, at_ms);
    }
    forget_due(d);
    return count;
}

size_t hash_deadlines_collect(struct hash_table *table, int64_t now_ms, size_t max,
                              struct buf *names)
{
    struct hash_deadlines *d = table->deadlines;
    if (d == NULL)
        return 0;
    size_t count = d->due_ready ? collect_read(table, now_ms, names) : 0;
    while (d->count != 0 && d->heap[0].at_ms <= now_ms && count < max) {
        struct at_position at = {.table = table,
                                 .position = pop(d).position,
                                 .until_ms = now_ms,
                                 .exactly_ms = OBJECT_NO_EXPIRE,
                                 .names = names};
        (void)member_table_walk(&table->members.table, at.position, look_at, &at);
        count += at.count;
    }
    return count;
}
