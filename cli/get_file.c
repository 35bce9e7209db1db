/* SPDX-License-Identifier: MIT */
/*
 * Files that look complete only when they are: written under another name in the same directory,
 * and renamed at the end. Nothing that is there is replaced unless asked.
 */
#include "get.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 100, NUMBERS = 100000 };

int file_look(const char *path, bool force)
{
    size_t      len = strlen(path);
    struct stat st;

    if (len == 0 || path[len - 1] == '/')
        return len == 0 ? -ENOENT : -EISDIR;
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISREG(st.st_mode) || S_ISLNK(st.st_mode))
        return force ? 0 : -EEXIST;
    return 1;
}

static char *join(const char *directory, const char *name, unsigned number)
{
    size_t room = strlen(directory) + strlen(name) + 16;
    char  *path = malloc(room);

    if (path != NULL && number == 0)
        (void)snprintf(path, room, "%s/%s", directory, name);
    else if (path != NULL)
        (void)snprintf(path, room, "%s/%s.%u", directory, name, number);
    return path;
}

static void random_letters(char out[7])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    unsigned char     bytes[6];

    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != (ssize_t)sizeof bytes)
        memset(bytes, 0, sizeof bytes); /* then O_EXCL makes the difference */
    for (size_t i = 0; i < sizeof bytes; i++)
        out[i] = letters[bytes[i] % (sizeof letters - 1)];
    out[6] = '\0';
}

/* A name as long as names may be leaves no room for more. */
static int open_part(struct file *f, const char *directory, const char *name)
{
    size_t room = strlen(directory) + NAME_MAX_BYTES + 32;
    char   letters[7];
    int    fd = -1;

    f->part = malloc(room);
    if (f->part == NULL)
        return -ENOMEM;
    for (int i = 0; i < TRIES && fd < 0; i++) {
        random_letters(letters);
        (void)snprintf(f->part, room, "%s/.%.*s.part-%s", directory, (int)NAME_MAX_BYTES, name,
                       letters);
        fd = open(f->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0) {
        int err = errno;

        free(f->part);
        f->part = NULL;
        return -err;
    }
    f->fd = fd + 1;
    return 0;
}

int file_begin(struct file *f, const char *directory, const char *name, bool numbered)
{
    int rc;

    *f           = (struct file){.numbered = numbered};
    f->directory = strdup(directory);
    f->name      = strdup(name);
    rc = f->directory != NULL && f->name != NULL ? open_part(f, directory, name) : -ENOMEM;
    if (rc < 0)
        file_abandon(f, false);
    return rc;
}

int file_write(struct file *f, const void *data, size_t len)
{
    const char *from = data;

    while (len > 0) {
        ssize_t n = write(f->fd - 1, from, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

int file_rewind(struct file *f)
{
    if (ftruncate(f->fd - 1, 0) < 0 || lseek(f->fd - 1, 0, SEEK_SET) < 0)
        return -errno;
    return 0;
}

/* --- the end ------------------------------------------------------------------------------ */

static int give_name(const char *part, const char *path, bool force)
{
    if (force)
        return rename(part, path) < 0 ? -errno : 0;
    if (renameat2(AT_FDCWD, part, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* A file system that cannot rename without replacing can link, which never replaces. */
    if (link(part, path) < 0)
        return -errno;
    return unlink(part) < 0 ? -errno : 0;
}

static int rename_part(struct file *f, const struct get_options *o, char **out)
{
    int rc = -EEXIST;

    for (unsigned i = 0; rc == -EEXIST && i <= (f->numbered ? NUMBERS : 0); i++) {
        char *path = join(f->directory, f->name, i);

        if (path == NULL)
            return -ENOMEM;
        rc = give_name(f->part, path, o->force);
        if (rc < 0)
            free(path);
        else
            *out = path;
    }
    return rc;
}

static void file_free(struct file *f)
{
    free(f->directory);
    free(f->name);
    free(f->part);
    *f = (struct file){.fd = 0};
}

int file_commit(struct file *f, const struct get_options *o, char **path)
{
    int rc = 0;

    *path = NULL;
    if (o->fsync && fsync(f->fd - 1) < 0)
        rc = -errno;
    if (close(f->fd - 1) < 0 && rc == 0 && errno != EINTR)
        rc = -errno;
    f->fd = 0;
    if (rc == 0)
        rc = rename_part(f, o, path);
    if (rc < 0)
        file_abandon(f, o->keep_partial);
    else
        file_free(f);
    return rc;
}

void file_abandon(struct file *f, bool keep)
{
    if (f->fd > 0)
        (void)close(f->fd - 1);
    if (f->part != NULL && !keep)
        (void)unlink(f->part);
    file_free(f);
}
