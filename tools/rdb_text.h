/* The contents of an RDB file in other forms: JSON, CSV, commands. A form is a table of functions
 * that append to a buffer, which is written out piece by piece: no value is held as a whole. */
#ifndef BASALT_TOOLS_RDB_TEXT_H
#define BASALT_TOOLS_RDB_TEXT_H

#include <stdio.h>

#include "codec/buf.h"
#include "codec/rdb_format.h"
#include "codec/rdb_read_value.h"

struct rdb_text_form;

struct rdb_text {
    const struct rdb_text_form *form;
    FILE *to;                  /* borrowed */
    struct buf out;            /* owned: not written yet */
    const struct rdb_key *key; /* borrowed: the one being told */
    uint64_t items;            /* told of the file */
    uint64_t elements;         /* told of the value, or of its innermost list */
    /* Of forms. All owned. */
    struct buf args, group, consumer; /* of commands */
    size_t arg_count;
    bool has_db; /* commands: one was selected */
    uint32_t db;
    enum rdb_value_kind kind;
    unsigned level; /* JSON: how deep in a stream */
};

typedef enum status rdb_text_entry_fn(void *arg, struct rdb_stream_id id, const struct bytes *texts,
                                      size_t count);

struct rdb_text_form {
    const char *name;
    void (*begin)(struct rdb_text *text);
    void (*function)(struct rdb_text *text, struct bytes code); /* NULL: cannot be told */
    void (*key_begin)(struct rdb_text *text);
    enum status (*element)(struct rdb_text *text, const struct rdb_element *element,
                           struct err *err);
    void (*key_end)(struct rdb_text *text);
    void (*end)(struct rdb_text *text);
};

extern const struct rdb_text_form rdb_text_json, rdb_text_jsonl, rdb_text_csv, rdb_text_resp;

/* Calls `fn` for each entry of a stream's node; `texts` are fields and values in turn. ST_CORRUPT:
 * the node is none. */
MUST_USE enum status rdb_text_each_entry(void *arg, const struct rdb_element *node,
                                         rdb_text_entry_fn *fn, struct err *err);
/* "1526919030474-55" */
const char *rdb_text_id(struct rdb_stream_id id, char out[48]);

#endif
