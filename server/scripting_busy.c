/* Scripts that run for too long: beyond busy-reply-threshold the script is stopped now and then,
 * between two of its instructions or commands, and the other clients are answered: with BUSY, but
 * for those that kill the script or end the server. */
#include "server/scripting_internal.h"

#include "server/call.h"
#include "server/config.h"
#include "server/exec.h"
#include "server/log.h"
#include "server/loop.h"
#include "server/services.h"

/* How often others are served: looking at ten thousand sockets takes about two milliseconds. */
#define SERVE_PERIOD_US 10000

static const char busy_eval[] =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL "
    "or SHUTDOWN NOSAVE.";
static const char busy_function[] = "BUSY Redis is busy running a script. You can only call "
                                    "FUNCTION KILL or SHUTDOWN NOSAVE.";

static const char *busy_text(const struct script_run *run)
{
    return run->eval ? busy_eval : busy_function;
}

void scripting_on_busy(struct scripting *s, scripting_serve_fn *fn, void *arg)
{
    s->serve = fn;
    s->serve_arg = arg;
}

/* Whether the threshold is crossed. */
static bool is_late(const struct scripting *s, struct script_run *run, uint64_t now_us)
{
    int64_t threshold_ms = s->services->config->busy_reply_threshold;
    uint64_t elapsed_ms = (now_us - run->started_us) / 1000;
    if (run->late)
        return true;
    if (threshold_ms == 0 || elapsed_ms < (uint64_t)threshold_ms)
        return false;
    log_write(LOG_WARNING,
              "Slow script detected: still in execution after %llu milliseconds. You can try "
              "killing the script using the %s command. Script name is: %s.",
              (unsigned long long)elapsed_ms, run->eval ? "SCRIPT KILL" : "FUNCTION KILL",
              run->name);
    run->late = true;
    exec_set_busy(s->services->exec, busy_text(run));
    return true;
}

bool scripting_interrupt(struct scripting *s)
{
    struct script_run *run = s->run;
    uint64_t now_us = loop_clock_us();
    if (s->serve == NULL || !is_late(s, run, now_us))
        return run->killed;
    if (!run->killed && now_us - run->served_us >= SERVE_PERIOD_US) {
        s->serve(s->serve_arg, run->call->session);
        run->served_us = loop_clock_us();
        if (run->killed)
            log_write(LOG_NOTICE, "Lua script killed by user with SCRIPT KILL.");
    }
    return run->killed;
}

void scripting_end_busy(struct scripting *s)
{
    if (s->run->late)
        exec_set_busy(s->services->exec, NULL);
}

void scripting_kill(struct call *c, bool eval)
{
    struct script_run *run = c->services->scripting->run;
    if (run == NULL)
        reply_error(c->reply, "NOTBUSY No scripts in execution right now.");
    else if ((run->call->session->flags & SESSION_MASTER) != 0)
        reply_error(c->reply, "UNKILLABLE The busy script was sent by a master instance in the "
                              "context of replication and cannot be killed.");
    else if (run->written)
        reply_error(c->reply, "UNKILLABLE Sorry the script already executed write commands against "
                              "the dataset. You can either wait the script termination or kill the "
                              "server in a hard way using the SHUTDOWN NOSAVE command.");
    else if (eval != run->eval)
        reply_error(c->reply, busy_text(run));
    else
        run->killed = true;
    if (run != NULL && run->killed)
        reply_ok(c->reply);
}

bool scripting_running(const struct scripting *s, struct scripting_running *out)
{
    const struct script_run *run = s->run;
    if (run == NULL)
        return false;
    *out = (struct scripting_running){.name = run->name,
                                      .call = run->call,
                                      .duration_ms = (loop_clock_us() - run->started_us) / 1000,
                                      .eval = run->eval};
    return true;
}
