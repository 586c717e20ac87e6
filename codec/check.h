/* Assertions. CHECK stays in every build and guards what could damage data; DCHECK is for costly
 * checks and exists in debug builds only. Both print the place and abort. */
#ifndef BASALT_CODEC_CHECK_H
#define BASALT_CODEC_CHECK_H

_Noreturn void check_failed(const char *file, int line, const char *condition);

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            check_failed(__FILE__, __LINE__, #cond);                                               \
    } while (0)

/* Where control must not come; says what would have had to hold. */
#define CHECK_UNREACHED(text) check_failed(__FILE__, __LINE__, text)

#if BASALT_DEBUG
#define DCHECK(cond) CHECK(cond)
#else
#define DCHECK(cond) ((void)sizeof(cond))
#endif

#endif
