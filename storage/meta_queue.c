#include "storage/meta_queue.h"

#include "codec/check.h"
#include "storage/cold.h"

/* In front of each entry's bytes. */
struct entry_head {
    uint32_t key_len;
    uint32_t value_len; /* DELETED: there is none */
};
#define DELETED UINT32_MAX

void meta_queue_deinit(struct meta_queue *queue)
{
    buf_deinit(&queue->entries);
}

static void push(struct meta_queue *queue, struct bytes key, struct bytes value, uint32_t value_len)
{
    CHECK(key.len < UINT32_MAX);
    struct entry_head head = {.key_len = (uint32_t)key.len, .value_len = value_len};
    buf_append(&queue->entries, &head, sizeof(head));
    buf_append_bytes(&queue->entries, key);
    buf_append_bytes(&queue->entries, value);
}

void meta_queue_put(struct meta_queue *queue, struct bytes key, struct bytes value)
{
    CHECK(value.len < DELETED);
    push(queue, key, value, (uint32_t)value.len);
}

void meta_queue_delete(struct meta_queue *queue, struct bytes key)
{
    push(queue, key, bytes_make(NULL, 0), DELETED);
}

void meta_queue_drain(struct meta_queue *queue, struct cold_batch *batch)
{
    for (size_t at = 0; at < queue->entries.len;) {
        struct entry_head head;
        memcpy(&head, queue->entries.data + at, sizeof(head));
        at += sizeof(head);
        struct bytes key = bytes_make(queue->entries.data + at, head.key_len);
        at += head.key_len;
        if (head.value_len == DELETED) {
            cold_batch_delete(batch, FAMILY_META, key);
            continue;
        }
        cold_batch_put(batch, FAMILY_META, key,
                       bytes_make(queue->entries.data + at, head.value_len));
        at += head.value_len;
    }
    buf_deinit(&queue->entries);
}
