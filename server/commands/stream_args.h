/* What the stream commands have in common: ids as arguments and in replies, ranges of entries,
 * changing a stream. Source: t_stream.c of Redis 7.2. */
#ifndef BASALT_SERVER_COMMANDS_STREAM_ARGS_H
#define BASALT_SERVER_COMMANDS_STREAM_ARGS_H

#include "server/call.h"
#include "storage/types/stream.h"

#define STREAM_ID_CHARS_MAX 48

/* "ms-seq" into `text`; returns it as bytes. */
struct bytes stream_id_text(struct stream_id id, char text[STREAM_ID_CHARS_MAX]);
void stream_reply_id(struct reply *r, struct stream_id id);

/* An id: "ms-seq", or "ms" with `missing_seq`. */
bool stream_parse_id(struct bytes text, uint64_t missing_seq, struct stream_id *out);
/* The same; `strict` refuses "-" and "+". With `seq_given` (may be NULL) "ms-*" is allowed. False:
 * replied that it is invalid (not when `c` is NULL). */
bool stream_arg_id(struct call *c, struct bytes text, uint64_t missing_seq, bool strict,
                   bool *seq_given, struct stream_id *out);
/* Start or end of an interval, "(" makes it exclusive. `start`: else it is the end. */
bool stream_arg_bound(struct call *c, struct bytes text, bool start, struct stream_id *out);

/* [id, [field, value, ...]] */
void stream_reply_entry(struct reply *r, struct stream_entry *entry);
/* The entry with this id; false, and nothing replied, when it does not exist. */
bool stream_reply_one(struct reply *r, const struct stream *s, struct stream_id id);

/* Begins changing the stream at key `index`, or a new one if `o` is NULL; ends it. */
struct object *stream_change_begin(struct call *c, int index, struct object *o);
void stream_change_end(struct call *c, int index, struct object *o);

/* -NOGROUP in its variants. */
void stream_reply_no_group(struct call *c, struct bytes key, struct bytes group,
                           const char *behind);

/* Whether an entry behind `from` may have been deleted. */
bool stream_has_gaps(const struct stream *s, struct stream_id from);

/* Effects that Redis tells its replicas. */
void stream_effect_claim(struct call *c, struct bytes key, const struct stream_group *group,
                         struct bytes consumer, struct stream_id id, int64_t delivered_at_ms,
                         uint64_t deliveries);
void stream_effect_group_id(struct call *c, struct bytes key, const struct stream_group *group);
void stream_effect_consumer(struct call *c, struct bytes key, const struct stream_group *group,
                            struct bytes consumer);
/* For handlers that tell all of it by the above: the request itself is not journaled. The last
 * thing that they do. */
void stream_finish_effects(struct call *c);
/* The consumer of this name, made if it does not exist, with event and, unless `told` (an XCLAIM
 * will follow, which makes it, too), effect; it was seen now. Between stream_change_begin and _end.
 */
struct stream_consumer *stream_use_consumer(struct call *c, struct bytes key, struct stream *s,
                                            struct stream_group *group, struct bytes name,
                                            bool told);

#endif
