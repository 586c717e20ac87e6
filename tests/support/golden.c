#include "tests/support/golden.h"

#include "tests/support/harness.h"

#include <stdio.h>

#define PIECE_BYTES    4096
#define PATH_BYTES_MAX 1024

void golden_read(const char *name, struct buf *out)
{
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof(path), "%s/golden/%s", BASALT_TESTS_DIR, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        fail_msg("cannot open %s", path);
    buf_clear(out);
    for (;;) {
        size_t got = fread(buf_reserve(out, PIECE_BYTES), 1, PIECE_BYTES, file);
        out->len += got;
        if (got == 0)
            break;
    }
    assert_int_equal(ferror(file), 0);
    (void)fclose(file);
    buf_shrink(out);
}
