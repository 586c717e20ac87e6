#include "tools/rdb_output.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/compress.h"

enum status rdb_output_open(struct rdb_output *output, struct env *env, const char *file, bool zstd,
                            struct err *err)
{
    bool is_stdout = strcmp(file, "-") == 0;
    *output = (struct rdb_output){.env = env,
                                  .file = is_stdout ? NULL : file,
                                  .fd = STDOUT_FILENO,
                                  .temp = "standard output"};
    if (!is_stdout &&
        snprintf(output->temp, sizeof(output->temp), "%s.tmp", file) >= (int)sizeof(output->temp))
        return err_set(err, ST_INVALID, "the file's name is too long");
    if (!is_stdout) {
        enum status st =
            env_open(env, output->temp, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &output->fd, err);
        if (st != ST_OK)
            return st;
    }
    if (zstd)
        output->packer = compress_context_create();
    return ST_OK;
}

/* Packed, each piece is a frame of its own, as zstd allows. */
enum status rdb_output_write(void *arg, struct bytes data, struct err *err)
{
    struct rdb_output *output = arg;
    if (output->packer != NULL) {
        buf_clear(&output->packed);
        enum status st =
            compress_encode(output->packer, COMPRESS_LEVEL_DEFAULT, data, &output->packed, err);
        if (st != ST_OK)
            return st;
        data = buf_bytes(&output->packed);
    }
    output->written += data.len;
    return env_write_all(output->env, output->fd, output->temp, data.data, data.len, err);
}

static enum status sync_dir_of(struct rdb_output *output, struct err *err)
{
    char dir[ENV_PATH_BYTES_MAX];
    (void)snprintf(dir, sizeof(dir), "%s", output->file);
    char *slash = strrchr(dir, '/');
    if (slash == NULL)
        (void)snprintf(dir, sizeof(dir), ".");
    else
        slash[slash == dir ? 1 : 0] = '\0';
    return env_sync_dir(output->env, dir, err);
}

enum status rdb_output_close(struct rdb_output *output, enum status st, struct err *err)
{
    compress_context_destroy(output->packer);
    buf_deinit(&output->packed);
    if (output->file == NULL)
        return st;
    if (st == ST_OK)
        st = env_sync(output->env, output->fd, output->temp, err);
    env_close(output->env, output->fd);
    if (st == ST_OK)
        st = env_rename(output->env, output->temp, output->file, err);
    if (st == ST_OK)
        return sync_dir_of(output, err);
    (void)output->env->unlink(output->env, output->temp);
    return st;
}
