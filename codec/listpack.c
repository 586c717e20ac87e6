/* An entry is a head (its kind, and its length or the integer itself), the text, and the length of
 * both once more, spelled so that it can be read backwards. */
#include "codec/listpack.h"

#include "codec/check.h"
#include "codec/checksum.h"
#include "codec/mem.h"

#define END_MARK          0xff
#define COUNT_UNKNOWN     0xffff /* so many, or more */
#define COUNT_AT          4
#define HEAD_BYTES_MAX    9 /* of a 64-bit integer */
#define BACK_BYTES_MAX    5
#define ENTRY_BYTES_MIN   2
#define ENCODED_AT_ONCE   4    /* values whose heads are made once only */
#define TEXT6_LEN_MAX     63   /* longest text whose length stands in 6 bits, … */
#define TEXT12_LEN_MAX    4095 /* … in 12 bits */
#define KIND_TEXT12       0xe0
#define KIND_TEXT32       0xf0
#define KIND_I16          0xf1
#define KIND_I24          0xf2
#define KIND_I32          0xf3
#define KIND_I64          0xf4
#define RECOUNT_BYTES_MAX (COUNT_UNKNOWN * ENTRY_BYTES_MIN) /* has fewer entries than that */

_Static_assert(LISTPACK_ENTRY_EXTRA_BYTES_MAX == 5 + BACK_BYTES_MAX, "head and length of a text");
_Static_assert(LISTPACK_BYTES_MAX <= UINT32_MAX / 2, "offsets and their sums are 32-bit");

static inline bool is_u7(uint8_t kind)
{
    return kind < 0x80;
}

static inline bool is_text6(uint8_t kind)
{
    return (kind & 0xc0) == 0x80;
}

static inline bool is_i13(uint8_t kind)
{
    return (kind & 0xe0) == 0xc0;
}

static inline bool is_text12(uint8_t kind)
{
    return (kind & 0xf0) == KIND_TEXT12;
}

/* Bytes of the length that follows an entry of `len` bytes. Redis's limits, which are one short. */
static inline uint32_t back_bytes(uint32_t len)
{
    return len <= 127 ? 1 : len < 16383 ? 2 : len < 2097151 ? 3 : len < 268435455 ? 4 : 5;
}

/* Reads the head at `p`. Returns its size; the length of the text, or 0, goes to `text_len`. */
static inline uint32_t read_head(const uint8_t *p, uint32_t *text_len)
{
    uint8_t kind = p[0];
    *text_len = 0;
    if (is_text6(kind)) {
        *text_len = kind & 0x3f;
        return 1;
    }
    if (is_u7(kind))
        return 1;
    if (is_i13(kind))
        return 2;
    if (is_text12(kind)) {
        *text_len = (uint32_t)(kind & 0x0f) << 8 | p[1];
        return 2;
    }
    switch (kind) {
    case KIND_TEXT32:
        *text_len = load_le32(p + 1);
        return 5;
    case KIND_I16:
        return 3;
    case KIND_I24:
        return 4;
    case KIND_I32:
        return 5;
    case KIND_I64:
        return 9;
    default:
        CHECK_UNREACHED("an entry of a validated listpack");
    }
}

/* Size of the entry at `p`. */
static inline uint32_t entry_bytes(const uint8_t *p)
{
    uint32_t text_len;
    uint32_t len = read_head(p, &text_len) + text_len;
    return len + back_bytes(len);
}

static inline int64_t sign_extend(uint64_t value, unsigned bits)
{
    uint64_t sign = UINT64_C(1) << (bits - 1);
    return (int64_t)((value ^ sign) - sign);
}

static inline int64_t read_integer(const uint8_t *p)
{
    uint8_t kind = p[0];
    if (is_u7(kind))
        return kind;
    if (is_i13(kind))
        return sign_extend((uint64_t)(kind & 0x1f) << 8 | p[1], 13);
    switch (kind) {
    case KIND_I16:
        return sign_extend(load_le16(p + 1), 16);
    case KIND_I24:
        return sign_extend(load_le16(p + 1) | (uint64_t)p[3] << 16, 24);
    case KIND_I32:
        return sign_extend(load_le32(p + 1), 32);
    case KIND_I64:
        return (int64_t)load_le64(p + 1);
    default:
        CHECK_UNREACHED("an integer of a validated listpack");
    }
}

static inline bool is_text(uint8_t kind)
{
    return is_text6(kind) || is_text12(kind) || kind == KIND_TEXT32;
}

/* --- Validation --- */

/* Size of the head at `p`, of which `left` bytes are there, or 0 if it is none. */
static uint32_t check_head(const uint8_t *p, size_t left)
{
    uint8_t kind = p[0];
    uint32_t len;
    if (is_u7(kind) || is_text6(kind))
        len = 1;
    else if (is_i13(kind) || is_text12(kind))
        len = 2;
    else if (kind == KIND_TEXT32 || kind == KIND_I32)
        len = 5;
    else if (kind == KIND_I16)
        len = 3;
    else if (kind == KIND_I24)
        len = 4;
    else if (kind == KIND_I64)
        len = 9;
    else
        return 0;
    return len <= left ? len : 0;
}

static void write_back(uint8_t *p, uint32_t len, uint32_t size)
{
    for (uint32_t i = size; i-- > 0; len >>= 7)
        p[i] = (uint8_t)((len & 0x7f) | (i > 0 ? 0x80 : 0));
}

/* Size of the entry at `p`, of which `left` bytes are there, or 0 if it is none. */
static uint32_t check_entry(const uint8_t *p, size_t left)
{
    uint32_t head = check_head(p, left);
    if (head == 0)
        return 0;
    uint32_t text_len;
    (void)read_head(p, &text_len);
    if (text_len > left - head)
        return 0;
    uint32_t len = head + text_len;
    uint8_t back[BACK_BYTES_MAX];
    uint32_t back_len = back_bytes(len);
    if (back_len > left - len)
        return 0;
    write_back(back, len, back_len);
    return memcmp(p + len, back, back_len) == 0 ? len + back_len : 0;
}

enum status listpack_validate(struct bytes in, uint32_t *count_out, struct err *err)
{
    if (in.len < LISTPACK_EMPTY_BYTES || in.len > LISTPACK_BYTES_MAX)
        return err_set(err, ST_CORRUPT, "listpack of %zu bytes", in.len);
    if (listpack_bytes(in.data) != in.len)
        return err_set(err, ST_CORRUPT, "listpack of %zu bytes says that it has %u", in.len,
                       listpack_bytes(in.data));
    size_t end = in.len - 1;
    size_t at = LISTPACK_HEADER_BYTES;
    uint32_t count = 0;
    while (at < end) {
        uint32_t size = check_entry(in.data + at, end - at);
        if (size == 0)
            return err_set(err, ST_CORRUPT, "listpack: bad entry %u at offset %zu", count, at);
        at += size;
        count++;
    }
    if (in.data[end] != END_MARK)
        return err_set(err, ST_CORRUPT, "listpack: no end mark at offset %zu", end);
    uint32_t said = load_le16(in.data + COUNT_AT);
    if (said != COUNT_UNKNOWN && said != count)
        return err_set(err, ST_CORRUPT, "listpack of %u entries says that it has %u", count, said);
    if (count_out != NULL)
        *count_out = count;
    return ST_OK;
}

/* --- Reading --- */

static uint32_t count_by_walk(const uint8_t *data)
{
    uint32_t count = 0;
    for (uint32_t at = listpack_first(data); at != 0; at = listpack_next(data, at))
        count++;
    return count;
}

uint32_t listpack_count(const uint8_t *data)
{
    uint32_t count = load_le16(data + COUNT_AT);
    return count != COUNT_UNKNOWN ? count : count_by_walk(data);
}

uint32_t listpack_last(const uint8_t *data)
{
    return listpack_prev(data, listpack_end(data));
}

uint32_t listpack_next(const uint8_t *data, uint32_t at)
{
    DCHECK(at >= LISTPACK_HEADER_BYTES && at < listpack_end(data));
    at += entry_bytes(data + at);
    return data[at] == END_MARK ? 0 : at;
}

uint32_t listpack_prev(const uint8_t *data, uint32_t at)
{
    DCHECK(at >= LISTPACK_HEADER_BYTES && at <= listpack_end(data));
    if (at == LISTPACK_HEADER_BYTES)
        return 0;
    uint32_t len = 0;
    uint32_t back = 0;
    uint8_t byte;
    do {
        byte = data[--at];
        len |= (uint32_t)(byte & 0x7f) << (7 * back++);
    } while ((byte & 0x80) != 0);
    return at - len;
}

uint32_t listpack_seek(const uint8_t *data, int64_t index)
{
    uint32_t count = load_le16(data + COUNT_AT);
    bool backward = index < 0;
    if (count != COUNT_UNKNOWN) {
        if (index >= count || index < -(int64_t)count)
            return 0;
        if (index < 0)
            index += count;
        backward = index > count / 2;
        if (backward)
            index -= count;
    }
    uint32_t at;
    if (backward) {
        at = listpack_last(data);
        for (int64_t i = -1; at != 0 && i > index; i--)
            at = listpack_prev(data, at);
    } else {
        at = listpack_first(data);
        for (int64_t i = 0; at != 0 && i < index; i++)
            at = listpack_next(data, at);
    }
    return at;
}

void listpack_get(const uint8_t *data, uint32_t at, struct listpack_value *value_out)
{
    DCHECK(at >= LISTPACK_HEADER_BYTES && at < listpack_end(data));
    const uint8_t *p = data + at;
    if (!is_text(p[0])) {
        *value_out = listpack_integer(read_integer(p));
        return;
    }
    uint32_t len;
    uint32_t head = read_head(p, &len);
    *value_out = listpack_text(bytes_make(p + head, len));
}

struct bytes listpack_get_text(const uint8_t *data, uint32_t at, char scratch[NUMBER_I64_CHARS_MAX])
{
    struct listpack_value value;
    listpack_get(data, at, &value);
    return listpack_value_text(&value, scratch);
}

/* `text` as listpack_value tells how it would be packed, so that a search parses it once. */
static struct listpack_value packed_value(struct bytes text)
{
    struct listpack_value value = listpack_text(text);
    value.is_integer = number_parse_i64(text, &value.integer);
    return value;
}

static inline bool entry_equal(const uint8_t *p, const struct listpack_value *wanted)
{
    if (is_text6(p[0]))
        return (p[0] & 0x3f) == wanted->text.len &&
               memcmp(p + 1, wanted->text.data, wanted->text.len) == 0;
    if (is_text(p[0])) {
        uint32_t len;
        uint32_t head = read_head(p, &len);
        return len == wanted->text.len && memcmp(p + head, wanted->text.data, len) == 0;
    }
    return wanted->is_integer && read_integer(p) == wanted->integer;
}

bool listpack_equal(const uint8_t *data, uint32_t at, struct bytes text)
{
    struct listpack_value wanted = packed_value(text);
    if (wanted.text.data == NULL)
        wanted.text.data = data; /* of length 0; memcmp wants a pointer */
    return entry_equal(data + at, &wanted);
}

uint32_t listpack_find(const uint8_t *data, uint32_t from, struct bytes text, uint32_t skip)
{
    if (from == 0)
        return 0;
    struct listpack_value wanted = packed_value(text);
    if (wanted.text.data == NULL)
        wanted.text.data = data;
    const uint8_t *p = data + from;
    while (*p != END_MARK) {
        if (entry_equal(p, &wanted))
            return (uint32_t)(p - data);
        p += entry_bytes(p);
        for (uint32_t i = 0; i < skip && *p != END_MARK; i++)
            p += entry_bytes(p);
    }
    return 0;
}

/* An entry that was met, by the hash of its text. */
struct met {
    uint64_t hash;
    uint32_t at; /* 0: no entry */
};

bool listpack_has_duplicates(const uint8_t *data, uint32_t step)
{
    uint32_t places = 16;
    while (places < listpack_count(data) / step * 2)
        places *= 2;
    struct met *met = mem_calloc(places, sizeof(*met));
    bool found = false;
    uint32_t index = 0;
    for (uint32_t at = listpack_first(data); at != 0 && !found; at = listpack_next(data, at)) {
        if (index++ % step != 0)
            continue;
        char scratch[NUMBER_I64_CHARS_MAX];
        struct bytes text = listpack_get_text(data, at, scratch);
        uint64_t hash = hash64(0, text.data, text.len);
        uint32_t place = (uint32_t)hash & (places - 1);
        for (; met[place].at != 0 && !found; place = (place + 1) & (places - 1))
            found = met[place].hash == hash && listpack_equal(data, met[place].at, text);
        met[place] = (struct met){.hash = hash, .at = at};
    }
    mem_free(met);
    return found;
}

/* --- Owning --- */

static void write_header(uint8_t *data, uint32_t bytes, uint32_t count)
{
    store_le32(data, bytes);
    store_le16(data + COUNT_AT, (uint16_t)(count < COUNT_UNKNOWN ? count : COUNT_UNKNOWN));
}

struct listpack listpack_create(size_t head)
{
    struct listpack lp = {.block = mem_alloc(head + LISTPACK_EMPTY_BYTES), .head = head};
    write_header(listpack_data(&lp), LISTPACK_EMPTY_BYTES, 0);
    listpack_data(&lp)[LISTPACK_HEADER_BYTES] = END_MARK;
    return lp;
}

struct listpack listpack_copy(const uint8_t *data, size_t head)
{
    size_t len = listpack_bytes(data);
    struct listpack lp = {.block = mem_alloc(head + len), .head = head};
    memcpy(listpack_data(&lp), data, len);
    return lp;
}

void listpack_destroy(struct listpack *lp)
{
    mem_free(lp->block);
    lp->block = NULL;
}

/* --- Changing --- */

/* How a value is packed. */
struct packed {
    uint8_t head[HEAD_BYTES_MAX];
    uint8_t head_len;
    struct bytes text; /* empty for integers */
};

static void pack_integer(int64_t value, struct packed *out)
{
    uint64_t bits = (uint64_t)value;
    out->text = bytes_make(NULL, 0);
    if (value >= 0 && value <= 127) {
        out->head[0] = (uint8_t)value;
        out->head_len = 1;
    } else if (value >= -4096 && value <= 4095) {
        out->head[0] = (uint8_t)(0xc0 | ((bits >> 8) & 0x1f));
        out->head[1] = (uint8_t)bits;
        out->head_len = 2;
    } else if (value >= INT16_MIN && value <= INT16_MAX) {
        out->head[0] = KIND_I16;
        store_le16(out->head + 1, (uint16_t)bits);
        out->head_len = 3;
    } else if (value >= -8388608 && value <= 8388607) {
        out->head[0] = KIND_I24;
        store_le16(out->head + 1, (uint16_t)bits);
        out->head[3] = (uint8_t)(bits >> 16);
        out->head_len = 4;
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        out->head[0] = KIND_I32;
        store_le32(out->head + 1, (uint32_t)bits);
        out->head_len = 5;
    } else {
        out->head[0] = KIND_I64;
        store_le64(out->head + 1, bits);
        out->head_len = 9;
    }
}

static void pack_text(struct bytes text, struct packed *out)
{
    CHECK(text.len <= LISTPACK_BYTES_MAX);
    out->text = text;
    if (text.len <= TEXT6_LEN_MAX) {
        out->head[0] = (uint8_t)(0x80 | text.len);
        out->head_len = 1;
    } else if (text.len <= TEXT12_LEN_MAX) {
        out->head[0] = (uint8_t)(KIND_TEXT12 | text.len >> 8);
        out->head[1] = (uint8_t)text.len;
        out->head_len = 2;
    } else {
        out->head[0] = KIND_TEXT32;
        store_le32(out->head + 1, (uint32_t)text.len);
        out->head_len = 5;
    }
}

static void pack(const struct listpack_value *value, struct packed *out)
{
    int64_t integer = value->integer;
    if (value->is_integer || number_parse_i64(value->text, &integer))
        pack_integer(integer, out);
    else
        pack_text(value->text, out);
}

static size_t packed_bytes(const struct packed *packed)
{
    uint32_t len = packed->head_len + (uint32_t)packed->text.len;
    return (size_t)len + back_bytes(len);
}

static uint8_t *write_packed(uint8_t *p, const struct packed *packed)
{
    uint32_t len = packed->head_len + (uint32_t)packed->text.len;
    memcpy(p, packed->head, packed->head_len);
    if (packed->text.len != 0)
        memcpy(p + packed->head_len, packed->text.data, packed->text.len);
    uint32_t back = back_bytes(len);
    write_back(p + len, len, back);
    return p + len + back;
}

size_t listpack_entry_bytes(const struct listpack_value *value)
{
    struct packed packed;
    pack(value, &packed);
    return packed_bytes(&packed);
}

/* Makes the block large enough for a listpack of `bytes` bytes. */
static void grow_block(struct listpack *lp, size_t bytes)
{
    if (lp->head + bytes > mem_usable_size(lp->block))
        lp->block = mem_realloc(lp->block, lp->head + bytes);
}

void listpack_reserve(struct listpack *lp, size_t extra)
{
    grow_block(lp, listpack_bytes(listpack_data(lp)) + extra);
}

void listpack_shrink(struct listpack *lp)
{
    size_t bytes = lp->head + listpack_bytes(listpack_data(lp));
    if (mem_good_size(bytes) < mem_usable_size(lp->block))
        lp->block = mem_realloc(lp->block, bytes);
}

/* Gives the `removed` bytes at `at` up for `added` ones, which are not written yet. */
static void move_tail(struct listpack *lp, uint32_t at, size_t removed, size_t added)
{
    size_t old_bytes = listpack_bytes(listpack_data(lp));
    CHECK(at >= LISTPACK_HEADER_BYTES && at + removed < old_bytes);
    size_t bytes = old_bytes - removed + added;
    CHECK(bytes <= LISTPACK_BYTES_MAX);
    if (added > removed)
        grow_block(lp, bytes);
    uint8_t *data = listpack_data(lp);
    if (added != removed)
        memmove(data + at + added, data + at + removed, old_bytes - at - removed);
    store_le32(data, (uint32_t)bytes);
    if (added < removed)
        listpack_shrink(lp);
}

/* Corrects the count when `removed` entries have been replaced by `added` ones. */
static void change_count(struct listpack *lp, uint32_t removed, size_t added)
{
    uint8_t *data = listpack_data(lp);
    uint32_t count = load_le16(data + COUNT_AT);
    size_t bytes = listpack_bytes(data);
    if (count != COUNT_UNKNOWN)
        count = count - removed + (uint32_t)added;
    else if (removed > 0 && bytes < RECOUNT_BYTES_MAX)
        count = count_by_walk(data);
    write_header(data, (uint32_t)bytes, count);
}

void listpack_splice(struct listpack *lp, uint32_t at, uint32_t removed,
                     const struct listpack_value *values, size_t count)
{
    const uint8_t *data = listpack_data(lp);
    size_t removed_bytes = 0;
    for (uint32_t i = 0; i < removed; i++) {
        CHECK(at + removed_bytes < listpack_end(data));
        removed_bytes += entry_bytes(data + at + removed_bytes);
    }
    struct packed packed[ENCODED_AT_ONCE];
    size_t added_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        pack(&values[i], &packed[i % ENCODED_AT_ONCE]);
        added_bytes += packed_bytes(&packed[i % ENCODED_AT_ONCE]);
    }
    move_tail(lp, at, removed_bytes, added_bytes);
    uint8_t *p = listpack_data(lp) + at;
    for (size_t i = 0; i < count; i++) {
        if (count > ENCODED_AT_ONCE)
            pack(&values[i], &packed[i % ENCODED_AT_ONCE]);
        p = write_packed(p, &packed[i % ENCODED_AT_ONCE]);
    }
    change_count(lp, removed, count);
}

uint32_t listpack_delete_range(struct listpack *lp, int64_t index, uint32_t count)
{
    const uint8_t *data = listpack_data(lp);
    uint32_t at = listpack_seek(data, index);
    if (at == 0)
        return 0;
    uint32_t end = at;
    uint32_t removed = 0;
    while (removed < count && data[end] != END_MARK) {
        end += entry_bytes(data + end);
        removed++;
    }
    move_tail(lp, at, end - at, 0);
    change_count(lp, removed, 0);
    return removed;
}

void listpack_delete_each(struct listpack *lp, const uint32_t *ats, size_t count)
{
    if (count == 0)
        return;
    uint8_t *data = listpack_data(lp);
    size_t old_bytes = listpack_bytes(data);
    size_t to = ats[0];
    for (size_t i = 0; i < count; i++) {
        size_t from = ats[i] + entry_bytes(data + ats[i]);
        size_t until = i + 1 < count ? ats[i + 1] : old_bytes;
        CHECK(from <= until && until <= old_bytes);
        memmove(data + to, data + from, until - from);
        to += until - from;
    }
    store_le32(data, (uint32_t)to);
    listpack_shrink(lp);
    change_count(lp, (uint32_t)count, 0);
}

void listpack_insert_entries(struct listpack *lp, uint32_t at, const uint8_t *other, uint32_t from,
                             uint32_t to, uint32_t count)
{
    CHECK(from >= LISTPACK_HEADER_BYTES && from <= to && to <= listpack_end(other));
    move_tail(lp, at, 0, to - from);
    memcpy(listpack_data(lp) + at, other + from, to - from);
    change_count(lp, 0, count);
}
