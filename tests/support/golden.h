/* Golden files: bytes that a released format or another server wrote (tests/golden/README.md). */
#ifndef BASALT_TESTS_SUPPORT_GOLDEN_H
#define BASALT_TESTS_SUPPORT_GOLDEN_H

#include "codec/buf.h"

/* Replaces the contents of `out` with the file tests/golden/`name`; fails the test if it cannot be
 * read. */
void golden_read(const char *name, struct buf *out);

#endif
