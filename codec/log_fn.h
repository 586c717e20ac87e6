/* How layers below the server say something to the operator: they are given a function of this type
 * when they are opened. The levels are Redis's, in its order. */
#ifndef BASALT_CODEC_LOG_FN_H
#define BASALT_CODEC_LOG_FN_H

enum log_level {
    LOG_DEBUG = 0,   /* for developers */
    LOG_VERBOSE = 1, /* much, but of use now and then */
    LOG_NOTICE = 2,  /* what an operator of a healthy server wants to read */
    LOG_WARNING = 3, /* somebody should look at this */
    LOG_NOTHING = 4, /* as a threshold only: log nothing at all */
};

/* Writes one line. `text` is a sentence, borrowed for the call, without a final newline; `level` is
 * one of enum log_level. Must be callable from any thread. */
typedef void log_fn(void *arg, int level, const char *text);

#endif
