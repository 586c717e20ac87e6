/* basalt: the tool for data files. One command per file, basalt_<command>.c. */
#include "tools/basalt_command.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    basalt_command_fn *run;
} commands[] = {
    {"rdb", basalt_rdb},
    {"check", basalt_check},
    {"backup", basalt_backup},
    {"restore", basalt_restore},
};

static void print_help(FILE *out)
{
    (void)fprintf(
        out, "Usage: basalt COMMAND ...\n"
             "       basalt --help | --version\n\n"
             "The tool for Basalt's data files. Commands:\n\n"
             "  rdb import FILE|- --dir DIR   makes a data directory out of an RDB file\n"
             "  rdb export --dir DIR -o FILE  makes an RDB file out of a data directory, or with\n"
             "                                --host HOST out of a running server\n"
             "  rdb inspect FILE|-            tells what is in an RDB file, and what takes room\n"
             "  rdb inspect --dir DIR         the same of a data directory: a census of its keys\n"
             "  rdb verify FILE|-             checks every byte of an RDB file\n"
             "  rdb convert FILE|- --to FORM  writes it as JSON, CSV or commands\n"
             "  rdb diff A B                  names the keys in which two RDB files differ\n"
             "  check DIR                     tells whether a data directory is sound\n"
             "  backup DIR DEST               copies a dataset, of a server or a directory\n"
             "  restore DEST DIR              makes a data directory out of a backup\n\n"
             "`basalt COMMAND --help` says more.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        (void)printf("basalt %s\n", BASALT_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    (void)fprintf(stderr, "basalt: there is no command \"%s\"; see basalt --help\n", argv[1]);
    return EXIT_USAGE;
}
