#include "server/open_files.h"

#include "codec/log_fn.h"
#include "server/config.h"
#include "server/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

/* Where the system does not tell. */
#define LIMIT_ASSUMED 1024

/* Raises the limit as far as it goes towards `wanted`; returns what it is then. */
static rlim_t raise_limit(rlim_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_write(LOG_WARNING,
                  "Unable to obtain the current NOFILE limit (%s), assuming 1024 and setting the "
                  "max clients configuration accordingly.",
                  strerror(errno));
        return LIMIT_ASSUMED;
    }
    rlim_t before = limit.rlim_cur;
    if (before >= wanted)
        return before;
    struct rlimit raised = {.rlim_cur = wanted,
                            .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) != 0) {
        raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) != 0)
            return before;
    }
    if (raised.rlim_cur > before)
        log_write(LOG_NOTICE,
                  "Increased maximum number of open files to %llu (it was originally set to %llu).",
                  (unsigned long long)raised.rlim_cur, (unsigned long long)before);
    return raised.rlim_cur;
}

/* How many clients fit when `wanted` are to. */
static unsigned clients_that_fit(unsigned wanted)
{
    rlim_t needed = (rlim_t)wanted + OPEN_FILES_RESERVED;
    rlim_t limit = raise_limit(needed + OPEN_FILES_COLD);
    if (limit >= needed)
        return wanted;
    return limit > OPEN_FILES_RESERVED ? (unsigned)(limit - OPEN_FILES_RESERVED) : 0;
}

static enum status apply_maxclients(void *arg, const struct config *config, struct err *err)
{
    (void)arg;
    unsigned fit = clients_that_fit(config->maxclients);
    if (fit == config->maxclients)
        return ST_OK;
    return err_set(err, ST_INVALID,
                   "The operating system is not able to handle the specified number of clients, "
                   "try with %u",
                   fit);
}

enum status open_files_adjust(struct config *config, struct err *err)
{
    unsigned wanted = config->maxclients;
    unsigned fit = clients_that_fit(wanted);
    config_on_change(config, "maxclients", apply_maxclients, NULL);
    if (fit == wanted)
        return ST_OK;
    if (fit == 0)
        return err_set(err, ST_LIMIT,
                       "Your current 'ulimit -n' is not enough for the server to start. Please "
                       "increase your open file limit to at least %u. Exiting.",
                       wanted + OPEN_FILES_RESERVED);
    config->maxclients = fit;
    log_write(LOG_WARNING,
              "You requested maxclients of %u requiring at least %u max file descriptors.", wanted,
              wanted + OPEN_FILES_RESERVED);
    log_write(LOG_WARNING,
              "Current maximum open files is %u. maxclients has been reduced to %u to compensate "
              "for low ulimit. If you need higher maxclients increase 'ulimit -n'.",
              fit + OPEN_FILES_RESERVED, fit);
    return ST_OK;
}
