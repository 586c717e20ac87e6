#include "codec/mem.h"

#include "codec/check.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if BASALT_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#define PAGE_BYTES 4096

static _Noreturn void out_of_memory(size_t size)
{
    (void)fprintf(stderr, "out of memory: cannot allocate %zu bytes\n", size);
    (void)fflush(stderr);
    abort();
}

void *mem_alloc(size_t size)
{
    void *pointer = malloc(size);
    if (__builtin_expect(pointer == NULL, 0))
        out_of_memory(size);
    return pointer;
}

void *mem_calloc(size_t count, size_t size)
{
    void *pointer = calloc(count, size);
    if (__builtin_expect(pointer == NULL, 0))
        out_of_memory(count * size);
    return pointer;
}

void *mem_realloc(void *pointer, size_t size)
{
    void *grown = realloc(pointer, size);
    if (__builtin_expect(grown == NULL, 0))
        out_of_memory(size);
    return grown;
}

void *mem_try_alloc(size_t size)
{
    return malloc(size);
}

void *mem_try_realloc(void *pointer, size_t size)
{
    return realloc(pointer, size);
}

void *mem_dup(const void *data, size_t len)
{
    void *copy = mem_alloc(len == 0 ? 1 : len);
    if (len != 0)
        memcpy(copy, data, len);
    return copy;
}

char *mem_strdup(const char *text)
{
    return mem_dup(text, strlen(text) + 1);
}

void mem_free(void *pointer)
{
    free(pointer);
}

#if BASALT_JEMALLOC

void *mem_alloc_pages(size_t size)
{
    if (size % PAGE_BYTES != 0)
        return mem_alloc(size);
    void *pointer = aligned_alloc(PAGE_BYTES, size);
    if (__builtin_expect(pointer == NULL, 0))
        out_of_memory(size);
    return pointer;
}

size_t mem_usable_size(const void *pointer)
{
    return pointer == NULL ? 0 : sallocx(pointer, 0);
}

size_t mem_good_size(size_t size)
{
    return nallocx(size == 0 ? 1 : size, 0);
}

static size_t read_stat(const char *name)
{
    size_t value = 0;
    size_t len = sizeof(value);
    return mallctl(name, &value, &len, NULL, 0) == 0 ? value : 0;
}

void mem_read_stats(struct mem_stats *out)
{
    uint64_t epoch = 1;
    size_t len = sizeof(epoch);
    (void)mallctl("epoch", &epoch, &len, &epoch, len);
    out->allocated = read_stat("stats.allocated");
    out->active = read_stat("stats.active");
    out->resident = read_stat("stats.resident");
    out->retained = read_stat("stats.retained");
}

void mem_purge(void)
{
    (void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0); /* 4096 = MALLCTL_ARENAS_ALL */
}

const char *mem_allocator_name(void)
{
#define TEXT_OF(number) #number
#define DOTTED(a, b, c) TEXT_OF(a) "." TEXT_OF(b) "." TEXT_OF(c)
    return "jemalloc-" DOTTED(JEMALLOC_VERSION_MAJOR, JEMALLOC_VERSION_MINOR,
                              JEMALLOC_VERSION_BUGFIX);
}

void mem_print_stats(void (*write)(void *arg, const char *text), void *arg)
{
    malloc_stats_print(write, arg, NULL);
}

#else

void *mem_alloc_pages(size_t size)
{
    return mem_alloc(size);
}

size_t mem_usable_size(const void *pointer)
{
    union {
        const void *borrowed;
        void *plain;
    } cast = {.borrowed = pointer};
    return pointer == NULL ? 0 : malloc_usable_size(cast.plain);
}

size_t mem_good_size(size_t size)
{
    return (size + 8 + 15) / 16 * 16;
}

void mem_read_stats(struct mem_stats *out)
{
    struct mallinfo2 info = mallinfo2();
    *out = (struct mem_stats){.allocated = info.uordblks + info.hblkhd,
                              .active = info.arena + info.hblkhd,
                              .resident = info.arena + info.hblkhd};
}

void mem_purge(void)
{
    (void)malloc_trim(0);
}

const char *mem_allocator_name(void)
{
    return "libc";
}

void mem_print_stats(void (*write)(void *arg, const char *text), void *arg)
{
    write(arg, "Stats not supported for the current allocator");
}

#endif
