#include "server/notify.h"

#include "codec/buf.h"
#include "server/pubsub.h"

void notify_publish(struct pubsub *pubsub, int classes, const char *event, struct bytes key,
                    uint32_t db, struct buf *scratch)
{
    if (!pubsub_is_heard(pubsub))
        return;
    if ((classes & NOTIFY_KEYSPACE) != 0) {
        buf_clear(scratch);
        buf_append_format(scratch, "__keyspace@%u__:", db);
        buf_append_bytes(scratch, key);
        (void)pubsub_publish(pubsub, buf_bytes(scratch), bytes_text(event));
    }
    if ((classes & NOTIFY_KEYEVENT) != 0) {
        buf_clear(scratch);
        buf_append_format(scratch, "__keyevent@%u__:%s", db, event);
        (void)pubsub_publish(pubsub, buf_bytes(scratch), key);
    }
}
