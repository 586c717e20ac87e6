/* The audit of large objects whose elements stand in an order that other elements describe: lists,
 * streams, sorted sets. The description and what it describes are read side by side. */
#include "storage/audit_internal.h"

#include <inttypes.h>
#include <string.h>

#include "codec/check.h"
#include "codec/endian.h"
#include "codec/listpack.h"
#include "codec/mem.h"
#include "storage/member_table.h"
#include "storage/types/stream.h"

static struct bytes drop(struct bytes from, size_t len)
{
    return bytes_make(from.data + len, from.len - len);
}

/* ---- Lists: FORMAT.md, "Large list" ---- */

#define LIST_ELEMENT_BYTES 9

struct list_sums {
    uint64_t nodes, elements, bytes;
};

/* A page: each of its nodes is there. */
static enum status check_list_page(struct audit_walk *walk, struct list_sums *sums, struct err *err)
{
    struct bytes in = walk->value;
    uint64_t count = 0;
    bool good = audit_take_varint(&in, &count);
    enum status st = ST_OK;
    for (uint64_t i = 0; good && st == ST_OK && i < count; i++) {
        uint64_t id = 0, elements = 0, bytes = 0;
        good = audit_take_varint(&in, &id) && audit_take_varint(&in, &elements) &&
               audit_take_varint(&in, &bytes) && id != 0 && elements != 0;
        sums->nodes++;
        sums->elements += elements;
        sums->bytes += bytes;
        if (!good || !walk->audit->options->deep)
            continue;
        uint8_t element[LIST_ELEMENT_BYTES] = {'N'};
        store_be64(element + 1, id);
        st = audit_walk_find(walk, bytes_make(element, sizeof(element)), err);
        if (st == ST_NOT_FOUND)
            audit_walk_blame(walk, "a node of this page is missing");
        if (st == ST_NOT_FOUND || st == ST_CORRUPT)
            st = ST_OK;
    }
    if (!good || in.len != 0)
        audit_walk_blame(walk, "the page cannot be decoded");
    return st;
}

static void check_list_node(struct audit_walk *walk, struct list_sums *sums)
{
    struct bytes value = walk->value;
    uint32_t count = 1;
    bool good = value.len > 1;
    if (good && value.data[0] == 0)
        good = listpack_validate(drop(value, 1), &count, NULL) == ST_OK && count != 0;
    else
        good = good && value.data[0] == 1 && value.len >= 9 &&
               load_le64(value.data + 1) == value.len - 9;
    if (!good)
        audit_walk_blame(walk, "the node cannot be decoded");
    sums->nodes++;
    sums->elements += count;
    sums->bytes += value.len - (value.len != 0);
}

static enum status walk_list(struct audit_walk *walk, struct list_sums *said, struct list_sums *are,
                             uint64_t *pages, struct err *err)
{
    enum status st = ST_OK;
    while (st == ST_OK && audit_walk_next(walk)) {
        uint8_t kind = walk->element.len == LIST_ELEMENT_BYTES ? walk->element.data[0] : 0;
        if (kind == 'I') {
            st = check_list_page(walk, said, err);
            ++*pages;
        } else if (kind == 'N') {
            check_list_node(walk, are);
        } else {
            audit_walk_blame(walk, "no element of a list");
        }
        if (st == ST_OK)
            st = audit_advance(walk->audit, "elements", 1, err);
    }
    return st;
}

enum status audit_read_list(struct audit *audit, const struct audit_record *record,
                            uint64_t object_id, struct err *err)
{
    struct bytes in = drop(record->payload, RECORD_LARGE_ID_BYTES + 1);
    struct list_sums header = {0};
    struct list_sums pages = {0};
    struct list_sums nodes = {0};
    uint64_t next_page = 0, page_count = 0, pages_read = 0;
    struct audit_walk walk;
    CHECK(audit_take_varint(&in, &next_page) && audit_take_varint(&in, &page_count));
    for (uint64_t i = 0; i < page_count; i++) {
        uint64_t id, count, length, bytes, made;
        CHECK(audit_take_varint(&in, &id) && audit_take_varint(&in, &count) &&
              audit_take_varint(&in, &length) && audit_take_varint(&in, &bytes) &&
              audit_take_varint(&in, &made));
        header.nodes += count;
        header.elements += length;
        header.bytes += bytes;
    }
    audit_walk_begin(&walk, audit, record, object_id, 0);
    enum status st = audit_walk_end(&walk, walk_list(&walk, &pages, &nodes, &pages_read, err), err);
    if (st != ST_OK || walk.bad != 0)
        return st;
    if (pages_read != page_count)
        audit_blame_object(audit, record, AUDIT_COUNT, "pages", pages_read, page_count);
    else if (pages.nodes != header.nodes)
        audit_blame_object(audit, record, AUDIT_COUNT, "nodes in its pages", pages.nodes,
                           header.nodes);
    else if (nodes.nodes != header.nodes)
        audit_blame_object(audit, record, AUDIT_COUNT, "nodes", nodes.nodes, header.nodes);
    else if (nodes.elements != header.elements || pages.elements != header.elements)
        audit_blame_object(audit, record, AUDIT_COUNT, "elements", nodes.elements, header.elements);
    else if (nodes.bytes != header.bytes || pages.bytes != header.bytes)
        audit_blame_object(audit, record, AUDIT_COUNT, "bytes in nodes", nodes.bytes, header.bytes);
    return ST_OK;
}

/* ---- Streams: FORMAT.md, "Stream" ---- */

/* The directory's pages, one after the other. */
struct stream_pages {
    struct audit_walk walk;
    struct buf page; /* the rest of the page at hand: from `at` on */
    size_t at;
    uint64_t left; /* nodes in it */
};

/* The next node that the directory names. False: there is none. */
static bool next_named_node(struct stream_pages *pages, struct stream_id *id_out,
                            uint64_t *entries_out)
{
    while (pages->left == 0) {
        if (!audit_walk_next(&pages->walk))
            return false;
        buf_clear(&pages->page);
        buf_append_bytes(&pages->page, pages->walk.value);
        struct bytes in = buf_bytes(&pages->page);
        if (!audit_take_varint(&in, &pages->left) || pages->left > STREAM_PAGE_NODES) {
            audit_walk_blame(&pages->walk, "the page cannot be decoded");
            pages->left = 0;
        }
        pages->at = pages->page.len - in.len;
    }
    struct bytes in = drop(buf_bytes(&pages->page), pages->at);
    pages->left--;
    if (!audit_take_varint(&in, &id_out->ms) || !audit_take_varint(&in, &id_out->seq) ||
        !audit_take_varint(&in, entries_out)) {
        audit_walk_blame(&pages->walk, "the page cannot be decoded");
        return false;
    }
    pages->at = pages->page.len - in.len;
    return true;
}

struct stream_header {
    uint64_t length, next_group, nodes;
};

/* Nodes and directory are both in the order of ids. */
static enum status compare_nodes(struct audit *audit, const struct audit_record *record,
                                 uint64_t object_id, const struct stream_header *header,
                                 struct err *err)
{
    struct audit_walk walk;
    struct stream_pages pages = {.left = 0};
    uint64_t nodes = 0, entries = 0;
    enum status st = ST_OK;
    audit_walk_begin(&walk, audit, record, object_id, 'N');
    audit_walk_begin(&pages.walk, audit, record, object_id, 'P');
    while (st == ST_OK && audit_walk_next(&walk)) {
        struct stream_id named;
        uint64_t count = 0, named_entries = 0;
        const uint8_t *id = walk.element.data + 1;
        if (walk.element.len != 17 || stream_node_validate(walk.value, &count, NULL) != ST_OK)
            audit_walk_blame(&walk, "the node cannot be decoded");
        else if (!next_named_node(&pages, &named, &named_entries))
            audit_walk_blame(&walk, "the directory does not name this node");
        else if (named.ms != load_be64(id) || named.seq != load_be64(id + 8))
            audit_walk_blame(&walk, "the directory names another node here");
        else if (named_entries != count)
            audit_walk_blame(&walk, "it has other entries than the directory tells");
        nodes++;
        entries += count;
        if (walk.bad != 0)
            break; /* what follows would only say the same */
        st = audit_advance(audit, "elements", 1, err);
    }
    struct stream_id named;
    uint64_t more;
    if (st == ST_OK && walk.bad == 0 && next_named_node(&pages, &named, &more))
        audit_walk_blame(&pages.walk, "it names a node that is missing");
    bool bad = walk.bad != 0 || pages.walk.bad != 0;
    buf_deinit(&pages.page);
    st = audit_walk_end(&walk, st, err);
    st = audit_walk_end(&pages.walk, st, err);
    if (st == ST_OK && !bad && nodes != header->nodes)
        audit_blame_object(audit, record, AUDIT_COUNT, "nodes", nodes, header->nodes);
    if (st == ST_OK && !bad && entries != header->length)
        audit_blame_object(audit, record, AUDIT_COUNT, "entries", entries, header->length);
    return st;
}

/* Something of a group: the group is there, and for what is pending, its consumer. */
static enum status check_group_part(struct audit_walk *walk, uint64_t next_group, struct err *err)
{
    static const struct {
        uint8_t kind;
        size_t len;
        unsigned numbers; /* varints at the front of the value */
    } shapes[] = {{'G', 5, 4}, {'K', 9, 2}, {'E', 21, 3}};
    size_t shape = 0;
    while (shape < 3 && shapes[shape].kind != walk->element.data[0])
        shape++;
    struct bytes in = walk->value;
    uint64_t first = 0;
    uint64_t number = 0;
    bool good = shape < 3 && walk->element.len == shapes[shape].len;
    for (unsigned i = 0; good && i < shapes[shape].numbers; i++) {
        good = audit_take_varint(&in, &number);
        first = i == 0 ? number : first;
    }
    if (good && walk->element.data[0] != 'E')
        good = audit_take_varint(&in, &number) && number == in.len; /* the name */
    else
        good = good && in.len == 0;
    if (good && walk->element.data[0] != 'K')
        good = first <= UINT32_MAX; /* a consumer's number */
    if (!good || load_be32(walk->element.data + 1) >= next_group) {
        audit_walk_blame(walk, "it cannot be decoded");
        return ST_OK;
    }
    if (walk->element.data[0] == 'G' || !walk->audit->options->deep)
        return ST_OK;
    uint8_t wanted[9];
    bool pending = walk->element.data[0] == 'E';
    memcpy(wanted, walk->element.data, 5);
    wanted[0] = pending ? 'K' : 'G';
    store_be32(wanted + 5, (uint32_t)first);
    enum status st = audit_walk_find(walk, bytes_make(wanted, pending ? 9 : 5), err);
    if (st == ST_NOT_FOUND)
        audit_walk_blame(walk, pending ? "its consumer is missing" : "its group is missing");
    return st == ST_NOT_FOUND || st == ST_CORRUPT ? ST_OK : st;
}

enum status audit_read_stream(struct audit *audit, const struct audit_record *record,
                              uint64_t object_id, struct err *err)
{
    struct bytes in = drop(record->payload, RECORD_LARGE_ID_BYTES);
    uint64_t numbers[11] = {0}; /* length, three ids, added, next page, next group, nodes */
    for (size_t i = 0; i < 11; i++)
        CHECK(audit_take_varint(&in, &numbers[i]));
    struct stream_header header = {
        .length = numbers[0], .next_group = numbers[9], .nodes = numbers[10]};
    struct audit_walk walk;
    enum status st = compare_nodes(audit, record, object_id, &header, err);
    if (st != ST_OK)
        return st;
    audit_walk_begin(&walk, audit, record, object_id, 0);
    while (st == ST_OK && audit_walk_next(&walk)) {
        uint8_t kind = walk.element.len != 0 ? walk.element.data[0] : 0;
        if (kind == 'N' || kind == 'P') /* seen; they come last */
            break;
        if (kind == 0)
            audit_walk_blame(&walk, "no element of a stream");
        else
            st = check_group_part(&walk, header.next_group, err);
        if (st == ST_OK)
            st = audit_advance(audit, "elements", 1, err);
    }
    return audit_walk_end(&walk, st, err);
}

/* ---- Sorted sets: FORMAT.md, "Large sorted set" ---- */

#define PLACE_SCORE_BYTES  8
#define MEMBER_VALUE_BYTES 9 /* flags and score */

static void put_place_of_score(struct buf *out, uint64_t bits)
{
    if (bits == UINT64_C(1) << 63) /* -0 is 0 */
        bits = 0;
    store_be64(buf_reserve(out, PLACE_SCORE_BYTES),
               (bits >> 63) != 0 ? ~bits : bits | UINT64_C(1) << 63);
    out->len += PLACE_SCORE_BYTES;
}

/* A member, and deep, its place in the order. */
static enum status check_zset_member(struct audit_walk *walk, struct err *err)
{
    struct bytes element = walk->element;
    if (element.len < 9 || walk->value.len != MEMBER_VALUE_BYTES || walk->value.data[0] != 2) {
        audit_walk_blame(walk, "its value is none that is written");
        return ST_OK;
    }
    struct bytes member = drop(element, 9);
    if (load_be64(element.data + 1) != member_position(walk->audit->identity.hash_seed, member))
        audit_walk_blame(walk, "it stands where no one looks for it");
    if (!walk->audit->options->deep)
        return ST_OK;
    struct buf place = {0};
    buf_append_byte(&place, 'S');
    put_place_of_score(&place, load_le64(walk->value.data + 1));
    buf_append_bytes(&place, member);
    enum status st = audit_walk_find(walk, buf_bytes(&place), err);
    buf_deinit(&place);
    if (st == ST_NOT_FOUND)
        audit_walk_blame(walk, "it is missing in the order of scores");
    return st == ST_NOT_FOUND || st == ST_CORRUPT ? ST_OK : st;
}

static enum status count_members(struct audit *audit, const struct audit_record *record,
                                 uint64_t object_id, uint64_t *count_out, struct err *err)
{
    struct audit_walk walk;
    enum status st = ST_OK;
    audit_walk_begin(&walk, audit, record, object_id, 'M');
    for (*count_out = 0; st == ST_OK && audit_walk_next(&walk); ++*count_out) {
        st = check_zset_member(&walk, err);
        if (st == ST_OK)
            st = audit_advance(audit, "elements", 1, err);
    }
    return audit_walk_end(&walk, st, err);
}

/* Reads leaves and places side by side: each leaf has as many places as it says. */
static enum status count_places(struct audit *audit, const struct audit_record *record,
                                uint64_t object_id, uint64_t *count_out, struct err *err)
{
    struct audit_walk leaves;
    struct audit_walk places;
    struct buf bound = {0}; /* where the next leaf begins */
    enum status st = ST_OK;
    audit_walk_begin(&leaves, audit, record, object_id, 'L');
    audit_walk_begin(&places, audit, record, object_id, 'S');
    bool more = audit_walk_next(&places);
    *count_out = 0;
    bool leaf = audit_walk_next(&leaves);
    while (st == ST_OK && leaf && leaves.bad == 0) {
        uint64_t says = 0;
        uint64_t are = 0;
        struct bytes value = leaves.value;
        bool good = audit_take_varint(&value, &says) && value.len == 0 && says != 0 &&
                    leaves.element.len >= 1 + PLACE_SCORE_BYTES;
        if (!good)
            audit_walk_blame(&leaves, "the leaf cannot be decoded");
        else if (more && bytes_compare(drop(places.element, 1), drop(leaves.element, 1)) < 0)
            audit_walk_blame(&leaves, "elements stand before the first leaf");
        buf_clear(&bound);
        leaf = audit_walk_next(&leaves);
        if (leaf)
            buf_append_bytes(&bound, drop(leaves.element, 1));
        while (st == ST_OK && more &&
               (!leaf || bytes_compare(drop(places.element, 1), buf_bytes(&bound)) < 0)) {
            if (places.element.len < 1 + PLACE_SCORE_BYTES || places.value.len != 1)
                audit_walk_blame(&places, "the place cannot be decoded");
            are++;
            more = audit_walk_next(&places);
            st = audit_advance(audit, "elements", 1, err);
        }
        *count_out += are;
        if (st == ST_OK && good && are != says)
            audit_blame_object(audit, record, AUDIT_COUNT, "elements in a leaf of its order", are,
                               says);
    }
    while (st == ST_OK && more) { /* no leaf at all, or it went wrong */
        ++*count_out;
        more = audit_walk_next(&places);
        st = audit_advance(audit, "elements", 1, err);
    }
    buf_deinit(&bound);
    st = audit_walk_end(&leaves, st, err);
    return audit_walk_end(&places, st, err);
}

enum status audit_read_zset(struct audit *audit, const struct audit_record *record,
                            uint64_t object_id, struct err *err)
{
    struct bytes in = drop(record->payload, RECORD_LARGE_ID_BYTES);
    uint64_t says = 0;
    uint64_t members = 0;
    uint64_t places = 0;
    CHECK(audit_take_varint(&in, &says));
    enum status st = count_members(audit, record, object_id, &members, err);
    if (st == ST_OK)
        st = count_places(audit, record, object_id, &places, err);
    if (st != ST_OK)
        return st;
    if (members != says)
        audit_blame_object(audit, record, AUDIT_COUNT, "members", members, says);
    if (places != members)
        audit_blame_object(audit, record, AUDIT_COUNT, "places in its order", places, members);
    return ST_OK;
}
