/* Shorthand for command rows: lists inside a row's initializer. For tables only.
 *
 *     .history = TEXTS("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`."),
 *     .args = ARGS(ARG("key", KEY), ARG("seconds", INTEGER),
 *                  ARG("condition", ONEOF, .flags = ARG_OPTIONAL, .since = "7.0.0",
 *                      .children = ARGS(TOKEN("nx", "NX"), TOKEN("xx", "XX")))), */
#ifndef BASALT_SERVER_COMMANDS_ROWS_H
#define BASALT_SERVER_COMMANDS_ROWS_H

#include "server/command.h"

#include <stddef.h>

/* Strings, NULL-terminated: tips, and history in pairs of version and change. */
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* Arguments, ended by one without a name. */
#define ARGS(...) ((const struct command_arg[]){__VA_ARGS__, {.name = NULL}})
/* One argument; further fields of struct command_arg may follow. */
#define ARG(n, t, ...)                                                                             \
    {                                                                                              \
        .name = (n), .type = ARG_##t, __VA_ARGS__                                                  \
    }
/* A word that stands for itself. */
#define TOKEN(n, w, ...)                                                                           \
    {                                                                                              \
        .name = (n), .type = ARG_PURE_TOKEN, .token = (w), __VA_ARGS__                             \
    }

#endif
