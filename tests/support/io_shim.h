/* Faults in the files of a server that a test has started, RocksDB's included, switched on and off
 * while it runs. The server is started with LD_PRELOAD set to shim/io_shim_library.c, which takes
 * the place of the C library's functions for files and looks at a page of memory that it shares
 * with the test.
 *
 *     io_shim_open(dir);                       the next server is started with the shim
 *     server = server_fixture_start(...);
 *     io_shim_fail(IO_WRITE | IO_SYNC, "/rocksdb/", EIO);
 *     ...
 *     io_shim_clear();
 *     io_shim_close();
 *
 * One at a time. Server and test must be built for the same machine, which they are. */
#ifndef BASALT_TESTS_SUPPORT_IO_SHIM_H
#define BASALT_TESTS_SUPPORT_IO_SHIM_H

#include <stdatomic.h>
#include <stdint.h>

#define IO_SHIM_ENV        "BASALT_IO_SHIM" /* path of the shared page, for the shim */
#define IO_SHIM_PART_BYTES 128
#define IO_SHIM_DIR_BYTES  1024
#define IO_SHIM_FILES_MAX  65536

enum io_op {
    IO_READ = 1 << 0,  /* pread */
    IO_WRITE = 1 << 1, /* write, pwrite, writev */
    IO_SYNC = 1 << 2,  /* fsync, fdatasync */
    IO_OPEN = 1 << 3,  /* open for writing */
    IO_RENAME = 1 << 4,
    IO_UNLINK = 1 << 5,
    IO_TRUNCATE = 1 << 6,
    IO_CHANGES = IO_WRITE | IO_SYNC | IO_OPEN | IO_RENAME | IO_UNLINK | IO_TRUNCATE,
};

/* Instead of an errno value. */
enum io_action {
    IO_KILL = 10000, /* the process is killed instead of the call */
    IO_KILL_AFTER,   /* and once the call has returned */
    IO_POWER_OFF,    /* as IO_KILL, and what was not synced is gone (see io_shim_power_off) */
};

/* How much of a file is safe from a failure of the power. */
struct io_shim_file {
    uint64_t inode; /* 0: a free place */
    int64_t size;   /* that is safe */
    int64_t extent; /* of the file as it is safe: behind `size` it has what was there before */
    int64_t rewritten_from; /* the lowest place written to since the last sync began */
};

/* What test and shim share. `armed` is stored last and read first. */
struct io_shim_page {
    _Atomic uint32_t armed;
    uint32_t ops;
    int32_t action;                /* an errno value or enum io_action */
    _Atomic int64_t skip;          /* so many matching calls pass first */
    _Atomic int64_t count;         /* then so many are hit */
    char part[IO_SHIM_PART_BYTES]; /* of the path; "" matches all below `dir` */
    char dir[IO_SHIM_DIR_BYTES];   /* files elsewhere are left alone */
    uint64_t seed;                 /* how much of unsynced data survives IO_POWER_OFF */
    _Atomic uint64_t calls;        /* matching ones since it was armed */
    _Atomic uint64_t hits;
    uint32_t skips_syncs;                         /* syncs succeed without reaching the disk */
    struct io_shim_file files[IO_SHIM_FILES_MAX]; /* by a hash of the inode; outlives servers */
};

/* Servers started from now on run with the shim, for their files below `dir` (a server's data
 * directory or above it). Fails the test if there is no shim, which was built next to the test. */
void io_shim_open(const char *dir);
/* Servers started from now on run without. */
void io_shim_close(void);

/* From now on matching calls fail with `error`. */
void io_shim_fail(uint32_t ops, const char *part, int error);
/* The nth matching call from now on (1: the next) gets the action. */
void io_shim_kill(uint32_t ops, const char *part, int64_t nth, enum io_action action);
/* The power fails at the nth matching call: the process is killed, and of what was written to each
 * file since its last sync only a part, chosen by `seed`, is left, with holes in it: also of what
 * earlier servers had written before they were killed. Names of files are taken to survive. */
void io_shim_power_off(uint32_t ops, const char *part, int64_t nth, uint64_t seed);
/* Syncs need not reach the disk: kills and played failures of the power are the same without. Fast.
 */
void io_shim_skip_syncs(void);
/* Nothing is hit any more. */
void io_shim_clear(void);
/* Matching calls since it was last armed, and how many of them were hit. */
uint64_t io_shim_calls(void);
uint64_t io_shim_hits(void);

#endif
