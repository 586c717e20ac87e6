/* Which files hold the journal that a restoration replays, and fetching them: segments and archived
 * segments of all backups of the history, and those that the server itself has.
 *
 * Files overlap: a backup ends in the middle of a segment, and the same segment comes again, whole,
 * with a later one. Of those that hold an offset the one is taken that reaches furthest. In the
 * restored journal a segment ends where the next one starts, so it does not matter which of two has
 * a stretch that is in both.
 *
 * What is archived belongs to a RocksDB store, whose id each file has; a plain segment outside has
 * none, so those count only beside a store of that id. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/mem.h"
#include "storage/backup_internal.h"
#include "storage/journal_archive.h"
#include "storage/journal_walk.h"

#define PACKED_NAME "packed"

/* ---- What there is ---- */

static void add_link(struct backup_chain *chain, const struct backup_link *link)
{
    if (chain->known_count == chain->known_capacity) {
        chain->known_capacity = chain->known_capacity == 0 ? 64 : chain->known_capacity * 2;
        chain->known = mem_realloc(chain->known, chain->known_capacity * sizeof(*chain->known));
    }
    chain->known[chain->known_count++] = *link;
    if (link->end > chain->known_end)
        chain->known_end = link->end;
}

static void add_stored(struct backup_chain *chain, const struct backup_list *list,
                       const struct backup_manifest *base)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct backup_manifest *manifest = &list->items[i];
        bool same_id = strcmp(manifest->replication_id, base->replication_id) == 0;
        bool same_store = strcmp(manifest->store, base->store) == 0;
        for (size_t k = 0; k < manifest->count; k++) {
            const struct backup_file *file = &manifest->files[k];
            if (file->name[0] != '\0' || !(file->archived ? same_store : same_id))
                continue;
            struct backup_link link = {.start = file->start,
                                       .end = file->end,
                                       .bytes = file->bytes,
                                       .archived = file->archived,
                                       .stored = file};
            add_link(chain, &link);
        }
        if (!same_id)
            continue;
        if (manifest->end_offset > chain->known_end)
            chain->known_end = manifest->end_offset;
        if (manifest->created_ms > chain->known_ms)
            chain->known_ms = manifest->created_ms;
    }
}

static enum status add_archived(struct backup_chain *chain, struct env *env, const char *dir,
                                const char *store, struct err *err)
{
    struct journal_archive_list list;
    enum status st = journal_archive_list_read(env, dir, false, &list, err);
    for (size_t i = 0; st == ST_OK && i < list.count; i++) {
        const struct journal_archive *head = &list.items[i].head;
        if (list.items[i].unreadable || strcmp(head->history, store) != 0)
            continue;
        struct backup_link link = {.start = head->start,
                                   .end = head->end,
                                   .bytes = list.items[i].bytes,
                                   .archived = true,
                                   .dir = dir};
        add_link(chain, &link);
        if (head->last_ms > chain->known_ms)
            chain->known_ms = head->last_ms;
    }
    journal_archive_list_deinit(&list);
    return st;
}

static enum status add_plain(void *arg, const struct journal_walk_segment *segment, struct err *err)
{
    struct backup_chain *chain = arg;
    struct backup_link link = {.start = segment->start,
                               .end = segment->end,
                               .bytes = segment->bytes,
                               .dir = chain->journal_dir};
    (void)err;
    if (segment->end > segment->start)
        add_link(chain, &link);
    return ST_OK;
}

/* The segments of a data directory whose store is the one that is wanted. */
static enum status add_segments(struct backup_chain *chain, struct env *env, const char *store,
                                struct err *err)
{
    char path[ENV_PATH_BYTES_MAX];
    char id[BACKUP_NAME_BYTES_MAX];
    int64_t now_ms = env_now_realtime_ms(env);
    (void)snprintf(path, sizeof(path), "%s/../rocksdb", chain->journal_dir);
    if (backup_read_store_id(env, path, id, NULL) != ST_OK || strcmp(id, store) != 0)
        return ST_OK;
    enum status st = journal_walk_files(env, chain->journal_dir, add_plain, chain, err);
    if (st == ST_OK)
        chain->known_ms = now_ms;
    return st;
}

enum status backup_chain_open(struct env *env, const struct backup_list *list,
                              const struct backup_manifest *base, const char *journal_dir,
                              struct backup_chain *out, struct err *err)
{
    *out = (struct backup_chain){.known_end = base->cut_offset};
    add_stored(out, list, base);
    if (journal_dir == NULL)
        return ST_OK;
    size_t stored = out->known_count;
    size_t len = strlen(journal_dir) + sizeof("/" JOURNAL_ARCHIVE_DIR);
    if (len > ENV_PATH_BYTES_MAX - 64)
        return err_set(err, ST_INVALID, "the name of the journal's directory is too long");
    out->journal_dir = mem_strdup(journal_dir);
    out->archive_dir = mem_alloc(len);
    (void)snprintf(out->archive_dir, len, "%s/" JOURNAL_ARCHIVE_DIR, journal_dir);
    /* The plain ones first: what is archived meanwhile is seen in one of the forms. */
    enum status st = add_segments(out, env, base->store, err);
    if (st == ST_OK)
        st = add_archived(out, env, out->archive_dir, base->store, err);
    if (st == ST_OK)
        st = add_archived(out, env, out->journal_dir, base->store, err);
    if (st == ST_OK && out->known_count == stored)
        st = err_set(err, ST_NOT_FOUND, "%s has no journal of the dataset in backup %s",
                     journal_dir, base->name);
    return st;
}

void backup_chain_close(struct backup_chain *chain)
{
    mem_free(chain->known);
    mem_free(chain->links);
    mem_free(chain->journal_dir);
    mem_free(chain->archive_dir);
    *chain = (struct backup_chain){.count = 0};
}

/* ---- Choosing ---- */

static size_t find_link(const struct backup_chain *chain, uint64_t offset)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < chain->known_count; i++) {
        const struct backup_link *link = &chain->known[i];
        if (link->start <= offset && link->end > offset &&
            (best == SIZE_MAX || link->end > chain->known[best].end))
            best = i;
    }
    return best;
}

void backup_chain_choose(struct backup_chain *chain, uint64_t from, uint64_t to)
{
    chain->end = from;
    while (chain->end < to) {
        size_t found = find_link(chain, chain->end);
        if (found == SIZE_MAX)
            return;
        chain->links = mem_realloc(chain->links, (chain->count + 1) * sizeof(*chain->links));
        chain->links[chain->count++] = found;
        chain->end = chain->known[found].end;
    }
}

uint64_t backup_chain_bytes(const struct backup_chain *chain)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < chain->count; i++)
        bytes += chain->known[chain->links[i]].bytes;
    return bytes;
}

/* ---- Fetching ---- */

/* Where a file outside is. */
static void outside_path(const struct backup_link *link, char out[ENV_PATH_BYTES_MAX])
{
    if (link->archived)
        journal_archive_path(link->dir, link->start, link->end, out);
    else
        (void)snprintf(out, ENV_PATH_BYTES_MAX, "%s/%020" PRIu64 ".journal", link->dir,
                       link->start);
}

static enum status fetch_packed(struct backup_copier *copier, const char *dest,
                                const struct backup_link *link, const char *to_dir, const char *to,
                                struct err *err)
{
    char packed[ENV_PATH_BYTES_MAX];
    (void)snprintf(packed, sizeof(packed), "%s/" PACKED_NAME, to_dir);
    enum status st = backup_fetch(copier, dest, link->stored, packed, err);
    if (st == ST_OK)
        st = journal_archive_unpack(copier->env, packed, to, err);
    return st == ST_OK ? env_unlink(copier->env, packed, err) : st;
}

static enum status fetch_link(struct backup_copier *copier, const char *dest,
                              const struct backup_link *link, const char *to_dir, struct err *err)
{
    char to[ENV_PATH_BYTES_MAX];
    char from[ENV_PATH_BYTES_MAX];
    uint64_t checksum = 0;
    (void)snprintf(to, sizeof(to), "%s/%020" PRIu64 ".journal", to_dir, link->start);
    if (link->stored != NULL)
        return link->archived ? fetch_packed(copier, dest, link, to_dir, to, err)
                              : backup_fetch(copier, dest, link->stored, to, err);
    outside_path(link, from);
    enum status st = link->archived ? journal_archive_unpack(copier->env, from, to, err)
                                    : backup_copy(copier, from, link->bytes, to, &checksum, err);
    if (st == ST_NOT_FOUND)
        return err_set(err, ST_NOT_FOUND,
                       "%s is not there any more: the server has archived or deleted it meanwhile",
                       from);
    if (st == ST_OK && link->archived)
        copier->done += link->bytes;
    return st;
}

enum status backup_chain_fetch(const struct backup_chain *chain, struct backup_copier *copier,
                               const char *dest, const char *to, struct err *err)
{
    struct journal_check check;
    bool outside = false;
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < chain->count; i++) {
        const struct backup_link *link = &chain->known[chain->links[i]];
        outside = outside || link->stored == NULL;
        st = fetch_link(copier, dest, link, to, err);
    }
    return st == ST_OK && outside ? journal_check_dir(copier->env, to, &check, err) : st;
}
