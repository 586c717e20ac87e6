#include "codec/status.h"

#include <stdarg.h>
#include <stdio.h>

enum status err_set_at(struct err *err, const char *file, int line, enum status code, int os_errno,
                       const char *format, ...)
{
    if (err == NULL)
        return code;
    err->code = code;
    err->os_errno = os_errno;
    err->file = file;
    err->line = line;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
    return code;
}

const char *status_name(enum status code)
{
    switch (code) {
    case ST_OK:
        return "ok";
    case ST_NOT_FOUND:
        return "not found";
    case ST_AGAIN:
        return "try again";
    case ST_CORRUPT:
        return "corrupt";
    case ST_IO:
        return "i/o error";
    case ST_NO_SPACE:
        return "no space";
    case ST_LIMIT:
        return "limit reached";
    case ST_INVALID:
        return "invalid";
    case ST_EXISTS:
        return "exists";
    case ST_UNSUPPORTED:
        return "unsupported";
    case ST_END:
        return "end";
    }
    return "unknown";
}
