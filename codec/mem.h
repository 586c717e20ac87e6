/* Heap memory. The allocator is jemalloc where linked, else the C library's.
 * mem_alloc and friends never return NULL: out of memory is reported and aborts. Where a client, a
 * peer or a file chose the size, use mem_try_alloc. Any thread. */
#ifndef BASALT_CODEC_MEM_H
#define BASALT_CODEC_MEM_H

#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_calloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *pointer, size_t size) __attribute__((returns_nonnull));
void *mem_try_alloc(size_t size) __attribute__((malloc));
void *mem_try_realloc(void *pointer, size_t size);
void *mem_dup(const void *data, size_t len) __attribute__((returns_nonnull));
/* For many blocks of some whole pages each: no page more than needed is touched. (jemalloc begins
 * large blocks at random cache lines, so that 16 KiB take five pages; not so aligned ones.) */
void *mem_alloc_pages(size_t size) __attribute__((malloc, returns_nonnull));
char *mem_strdup(const char *text) __attribute__((returns_nonnull));
void mem_free(void *pointer);

/* Bytes the allocator really set aside for `pointer` (0 for NULL). About 10 ns. */
size_t mem_usable_size(const void *pointer);
/* Bytes that an allocation of `size` would really take. */
size_t mem_good_size(size_t size);

/* What the allocator says of the whole process; zeros where it cannot tell. Some microseconds. */
struct mem_stats {
    size_t allocated; /* bytes handed out */
    size_t active;    /* bytes in pages with something in them */
    size_t resident;  /* bytes of physical memory the allocator holds */
    size_t retained;  /* bytes of address space kept but not resident */
};
void mem_read_stats(struct mem_stats *out);
/* Gives unused dirty pages back to the system. May take milliseconds. */
void mem_purge(void);
const char *mem_allocator_name(void);
/* The allocator's own report, in pieces of text. Milliseconds. */
void mem_print_stats(void (*write)(void *arg, const char *text), void *arg);

#endif
