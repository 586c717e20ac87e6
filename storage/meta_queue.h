/* Records of the meta family that commands have changed, on their way to the next cut. Main thread.
 */
#ifndef BASALT_STORAGE_META_QUEUE_H
#define BASALT_STORAGE_META_QUEUE_H

#include "codec/buf.h"

struct cold_batch;

/* A zeroed struct is valid and empty. */
struct meta_queue {
    struct buf entries;
};

void meta_queue_deinit(struct meta_queue *queue);
/* Of several for one key the last one counts. */
void meta_queue_put(struct meta_queue *queue, struct bytes key, struct bytes value);
void meta_queue_delete(struct meta_queue *queue, struct bytes key);
/* Moves all of them to a batch. */
void meta_queue_drain(struct meta_queue *queue, struct cold_batch *batch);

#endif
