/* One reply of a server as a tree, for both protocol versions, and its text form.
 *
 * The text is what transcripts are written in (tests/README.md): typed, unambiguous, on one line.
 *
 *     +OK  -ERR no  :7  "bulk\r\n"  nil  nil-array  [:1 "a"]  {"k" :1}  ~["a"]  >["message"]
 *     ,1.5  #t  #f  (12345678901234567890  =txt:"verbatim"  |{"attribute" :1}  !"bulk error" */
#ifndef BASALT_TESTS_SUPPORT_RESP_REPLY_H
#define BASALT_TESTS_SUPPORT_RESP_REPLY_H

#include "codec/buf.h"
#include "codec/bytes.h"

enum resp_kind {
    RESP_SIMPLE,
    RESP_ERROR,
    RESP_INTEGER,
    RESP_BULK,
    RESP_NIL,       /* $-1, or _ in RESP3 */
    RESP_NIL_ARRAY, /* *-1 */
    RESP_ARRAY,
    RESP_MAP,
    RESP_SET,
    RESP_PUSH,
    RESP_ATTRIBUTE, /* a map in front of the reply proper, which is read next */
    RESP_DOUBLE,
    RESP_BOOL,
    RESP_BIG_NUMBER,
    RESP_VERBATIM,
    RESP_BULK_ERROR,
};

struct resp_reply {
    enum resp_kind kind;
    bool is_resp3;               /* came in a form that only RESP3 has */
    struct buf text;             /* owned: the content of all kinds without children */
    char format[4];              /* RESP_VERBATIM: "txt", "mkd" */
    struct resp_reply *children; /* owned array; of a map: key, value, key, value, ... */
    size_t child_count;
};

/* Frees what the reply owns and leaves an empty RESP_NIL. */
void resp_reply_deinit(struct resp_reply *reply);
/* Appends the text form. */
void resp_reply_render(const struct resp_reply *reply, struct buf *out);
bool resp_kind_has_children(enum resp_kind kind);
/* Appends "text" in double quotes, with \n \r \t \b \a \" \\ and \xHH as escapes. */
void resp_render_quoted(struct bytes text, struct buf *out);

#endif
