/* The text that ps and top show for the process, made from proc-title-template. */
#ifndef BASALT_SERVER_PROC_TITLE_H
#define BASALT_SERVER_PROC_TITLE_H

#include <stdbool.h>

struct buf;
struct config;

/* True if the template names known variables only and is not empty: {title}, {listen-addr},
 * {server-mode}, {port}, {tls-port}, {unixsocket}, {config-file}; {{ is a brace. */
bool proc_title_is_valid(const char *template);
/* Appends the template of `config` with its variables replaced, without spaces at either end. */
void proc_title_expand(const struct config *config, const char *title, struct buf *out);

/* The memory in which the system looks for the title: that of the program's arguments and, behind
 * them, its environment. */
struct proc_title {
    char *area; /* NULL: not found, titles are not set */
    unsigned long size;
};

/* Call first in main, before anything keeps a pointer into the arguments or the environment: moves
 * the environment elsewhere and replaces the entries of argv by copies (which live as long as the
 * process). */
void proc_title_init(struct proc_title *self, int argc, char **argv);
/* Shows `title`, cut off at the room there is. */
void proc_title_set(struct proc_title *self, const char *title);

#endif
