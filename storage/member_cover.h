/* Which stretches of a large collection's positions (member_table.h) are wholly in RAM: what is not
 * in the table there does not exist. A few disjoint intervals; when there are too many, the one
 * that was added first is forgotten, which costs another read and no more. */
#ifndef BASALT_STORAGE_MEMBER_COVER_H
#define BASALT_STORAGE_MEMBER_COVER_H

#include "codec/buf.h"
#include "codec/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMBER_COVER_SPANS 128
/* An element key of a member: this byte, the position as u64 BE, the member. */
#define MEMBER_ELEMENT_KIND         'M'
#define MEMBER_ELEMENT_PREFIX_BYTES 9

struct member_span {
    uint64_t from, to;
    uint32_t added; /* when: a count of additions */
};

struct member_cover {
    struct member_span *spans; /* owned; ascending, none touches the next */
    uint32_t count, capacity;
    uint32_t additions;
    /* A read may end between two members of one position: where, behind spans that end there. */
    uint64_t tail_position;
    struct buf tail; /* the first member not read; empty: none */
};

void member_cover_deinit(struct member_cover *cover);
/* Bytes beside the struct itself. */
size_t member_cover_bytes(const struct member_cover *cover);
void member_cover_add(struct member_cover *cover, uint64_t from, uint64_t to);
void member_cover_remove(struct member_cover *cover, uint64_t from, uint64_t to);
bool member_cover_is_all(const struct member_cover *cover);
/* Where the stretch that has `position` ends; `position` itself if it is not covered. */
uint64_t member_cover_end(const struct member_cover *cover, uint64_t position);
/* Where the next stretch begins, at or behind a position that is not covered. */
uint64_t member_cover_next(const struct member_cover *cover, uint64_t position);

/* The bounds of a read of what is between two positions: element keys (ensure_range). What an
 * earlier read had of the first position is left out. */
void member_cover_bounds(const struct member_cover *cover, uint64_t from, uint64_t to,
                         struct buf *from_out, struct buf *to_out);
/* All elements from one key to before the other are in RAM now (value_type.installed_range). */
void member_cover_installed(struct member_cover *cover, struct bytes from, struct bytes to);

/* Writes MEMBER_ELEMENT_PREFIX_BYTES. */
void member_element_prefix(uint64_t position, uint8_t *out);

#endif
