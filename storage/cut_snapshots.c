#include "storage/cut_snapshots.h"

#include "codec/check.h"
#include "storage/cold.h"

void cut_snapshots_want(struct cut_snapshots *snapshots, struct cut_snapshot_request *request)
{
    CHECK(!request->waiting);
    request->waiting = true;
    request->snapshot = NULL;
    request->next = snapshots->wanted;
    snapshots->wanted = request;
}

void cut_snapshots_begin(struct cut_snapshots *snapshots)
{
    CHECK(snapshots->serving == NULL);
    snapshots->serving = snapshots->wanted;
    snapshots->wanted = NULL;
}

void cut_snapshots_take(struct cut_snapshots *snapshots, struct cold *cold)
{
    for (struct cut_snapshot_request *r = snapshots->serving; r != NULL; r = r->next)
        r->snapshot = cold_snapshot_create(cold);
}

void cut_snapshots_end(struct cut_snapshots *snapshots, uint64_t offset, const struct err *err)
{
    struct cut_snapshot_request *next = snapshots->serving;
    snapshots->serving = NULL;
    while (next != NULL) {
        struct cut_snapshot_request *r = next;
        next = r->next; /* the callee may reuse it */
        r->waiting = false;
        r->fn(r->arg, r->snapshot, offset, err);
    }
}

void cut_snapshots_give_up(struct cut_snapshots *snapshots)
{
    struct err err;
    (void)err_set(&err, ST_AGAIN, "the server is being shut down");
    cut_snapshots_end(snapshots, 0, &err);
    cut_snapshots_begin(snapshots);
    cut_snapshots_end(snapshots, 0, &err);
}
