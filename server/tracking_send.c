/* Invalidation messages: RESP3 pushes, or for RESP2 messages of a channel to the subscriber that
 * the client redirects to. */
#include "server/tracking_internal.h"

#include "server/conn.h"
#include "server/services.h"
#include "server/session.h"

#define CHANNEL "__redis__:invalidate"

static void make(struct push *push, const struct invalidation *message, uint8_t protocol)
{
    if (protocol == 2) {
        push_begin(push, 3);
        push_add(push, bytes_text("message"));
        push_add(push, bytes_text(CHANNEL));
    } else {
        push_begin(push, 2);
        push_add(push, bytes_text("invalidate"));
    }
    if (message->resp != NULL)
        push_add_resp(push, *message->resp);
    else
        push_add_null(push, protocol);
}

static void tell_broken_redirect(struct tracking *tracking, struct tracker *tracker,
                                 struct invalidation *message)
{
    tracker->modes |= TRACKING_BROKEN_REDIR;
    if (tracker->session->reply.resp == 2)
        return;
    message->made_for = 0;
    push_begin(&tracking->push, 2);
    push_add(&tracking->push, bytes_text("tracking-redir-broken"));
    push_add_integer(&tracking->push, (int64_t)tracker->redirect);
    (void)push_send(tracking->services->pushes, &tracking->push, tracker->session);
}

void send_invalidation(struct tracking *tracking, struct tracker *tracker,
                       struct invalidation *message)
{
    struct session *to = tracker->session;
    if (tracker->redirect != 0) {
        struct conn *conn = conns_find(tracking->services->conns, tracker->redirect);
        if (conn == NULL) {
            tell_broken_redirect(tracking, tracker, message);
            return;
        }
        to = conn_session(conn);
    }
    if (to->reply.resp == 2 && (tracker->redirect == 0 || (to->flags & SESSION_PUBSUB) == 0))
        return; /* RESP2 has no way to tell it */
    if (message->made_for != to->reply.resp) {
        make(&tracking->push, message, to->reply.resp);
        message->made_for = to->reply.resp;
    }
    (void)push_send_last(tracking->services->pushes, &tracking->push, to);
}
