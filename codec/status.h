/* Results of fallible functions, and the error record that says what was wrong and where. */
#ifndef BASALT_CODEC_STATUS_H
#define BASALT_CODEC_STATUS_H

#define MUST_USE          __attribute__((warn_unused_result))
#define PRINTF_LIKE(a, b) __attribute__((format(printf, a, b)))

enum status {
    ST_OK = 0,
    ST_NOT_FOUND,   /* what was asked for does not exist */
    ST_AGAIN,       /* not now; retry when told */
    ST_CORRUPT,     /* bytes from a disk or a peer are not what they must be */
    ST_IO,          /* the system refused a read, write, sync or the like */
    ST_NO_SPACE,    /* ST_IO because the device or quota is full */
    ST_LIMIT,       /* a named bound was reached */
    ST_INVALID,     /* the caller's (a client's, an operator's) input is wrong */
    ST_EXISTS,      /* it exists already */
    ST_UNSUPPORTED, /* valid, but from a newer version or of a kind not handled */
    ST_END,         /* orderly end of a sequence */
};

#define ERR_MESSAGE_BYTES_MAX 320

/* What went wrong. Never allocates. All functions accept NULL for it. */
struct err {
    enum status code;
    int os_errno;     /* errno of the failed call, or 0 */
    int line;         /* where it was detected in our source */
    const char *file; /* static */
    char message[ERR_MESSAGE_BYTES_MAX];
};

/* Fills `err` (if not NULL) with a formatted message, cut off at its size, and returns `code`. */
enum status err_set_at(struct err *err, const char *file, int line, enum status code, int os_errno,
                       const char *format, ...) PRINTF_LIKE(6, 7);

#define err_set(err, code, ...) err_set_at((err), __FILE__, __LINE__, (code), 0, __VA_ARGS__)
#define err_set_os(err, code, os, ...)                                                             \
    err_set_at((err), __FILE__, __LINE__, (code), (os), __VA_ARGS__)

/* Returns a static lower-case name such as "corrupt". */
const char *status_name(enum status code);

#endif
