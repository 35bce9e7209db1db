/* SPDX-License-Identifier: MIT */
/*
 * What does not fit into memory while it waits for its turn: blocks of one temporary file without a
 * name. Blocks that were read are used again, so that the file does not grow with the whole output.
 */
#include "get.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* File systems without O_TMPFILE get a file whose name is removed at once. */
static int open_in(const char *directory)
{
    char path[4096];
    int  fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int  n;

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    n = snprintf(path, sizeof path, "%s/asyncore-XXXXXX", directory);
    if (n < 0 || (size_t)n >= sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

static int spill_open(struct spill *s)
{
    const char *directory = getenv("TMPDIR");
    int         fd        = -1;

    if (s->fd > 0)
        return 0;
    if (directory != NULL && directory[0] != '\0')
        fd = open_in(directory);
    if (fd < 0)
        fd = open_in("/var/tmp");
    if (fd < 0)
        return -errno;
    s->fd = fd + 1;
    return 0;
}

int64_t spill_take(struct spill *s)
{
    int rc = spill_open(s);

    if (rc < 0)
        return rc;
    if (s->free_count > 0)
        return s->free[--s->free_count];
    if (s->blocks == UINT32_MAX)
        return -EFBIG;
    if (s->free_cap <= s->blocks) { /* so that giving one back cannot fail */
        size_t    cap  = s->free_cap > 0 ? 2 * s->free_cap : 64;
        uint32_t *list = realloc(s->free, cap * sizeof *list);

        if (list == NULL)
            return -ENOMEM;
        s->free     = list;
        s->free_cap = cap;
    }
    return s->blocks++;
}

void spill_give(struct spill *s, uint32_t block)
{
    s->free[s->free_count++] = block;
    if (s->free_count < s->blocks)
        return;
    s->free_count = 0; /* all are: the disk may have its room back */
    s->blocks     = 0;
    if (ftruncate(s->fd - 1, 0) < 0)
        return; /* then it is used again as it is */
}

int spill_write(struct spill *s, uint32_t block, size_t at, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        ssize_t n = pwrite(s->fd - 1, from, len, (off_t)block * SPILL_BLOCK + (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        from += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int spill_read(struct spill *s, uint32_t block, size_t at, void *data, size_t len)
{
    char *to = data;

    while (len > 0) {
        ssize_t n = pread(s->fd - 1, to, len, (off_t)block * SPILL_BLOCK + (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        to += n;
        at += (size_t)n;
        len -= (size_t)n;
    }
    return 0;
}

void spill_close(struct spill *s)
{
    if (s->fd > 0)
        (void)close(s->fd - 1);
    free(s->free);
    *s = (struct spill){.fd = 0};
}
