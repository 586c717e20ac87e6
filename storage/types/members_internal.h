/* Shared by the parts of members. */
#ifndef BASALT_STORAGE_TYPES_MEMBERS_INTERNAL_H
#define BASALT_STORAGE_TYPES_MEMBERS_INTERNAL_H

#include "storage/types/members.h"

#define MEMBERS_SAMPLE_SLACK 32 /* beyond what is wanted, to choose from (members_sample) */

uint8_t member_content_bits(const struct member_content *content);
struct member_content member_content_of(const struct part *part);
struct part *member_part(const struct member_content *content, uint8_t bits);

/* Members from a position on, and from the beginning after the end; up to `count`, in the order of
 * positions up to some ten members. Returns how many; where it stopped, because it had enough or
 * the rest is not in RAM, goes to `stopped_at`. `out` may be NULL, to count. */
size_t members_gather(const struct members *m, uint64_t position, size_t count, struct part **out,
                      uint64_t *stopped_at);
/* Brings all between two positions into RAM, which are about so many members. */
enum ensured members_ensure_between(struct ensure *e, struct members *m, uint64_t from, uint64_t to,
                                    size_t count);
/* Brings what that wants into RAM. */
enum ensured members_ensure_gather(struct ensure *e, struct members *m, uint64_t position,
                                   size_t count);

#endif
