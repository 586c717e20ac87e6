/* What the files of the tool share: exit statuses and the entry of each command. */
#ifndef BASALT_TOOLS_BASALT_COMMAND_H
#define BASALT_TOOLS_BASALT_COMMAND_H

enum basalt_exit {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,      /* the command line is wrong; nothing was done */
    EXIT_INCOMPLETE = 3, /* done, but for what the output says */
    EXIT_SIGNALLED = 128 /* plus the signal's number */
};

/* argv[0] is the command's own name. Returns the exit status. */
typedef int basalt_command_fn(int argc, char **argv);

int basalt_rdb(int argc, char **argv);
/* Parts of it: argv[0] is "export" and so on. */
int basalt_rdb_export(int argc, char **argv);
int basalt_rdb_inspect(int argc, char **argv);
int basalt_rdb_verify(int argc, char **argv);
int basalt_rdb_convert(int argc, char **argv);
int basalt_rdb_diff(int argc, char **argv);
int basalt_check(int argc, char **argv);
int basalt_backup(int argc, char **argv);
int basalt_restore(int argc, char **argv);

#endif
