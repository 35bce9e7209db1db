/* SPDX-License-Identifier: MIT */
/* The one way to memory: the allocator of the process, and what is built on its two functions. */
#include "alloc.h"

#include "asyncore/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void *standard_reallocate(void *context, void *ptr, size_t len)
{
    (void)context;
    return realloc(ptr, len);
}

static void standard_release(void *context, void *ptr)
{
    (void)context;
    free(ptr);
}

static const ac_allocator standard = {
    .size       = sizeof(ac_allocator),
    .reallocate = standard_reallocate,
    .release    = standard_release,
};

static ac_allocator current = {
    .size       = sizeof(ac_allocator),
    .reallocate = standard_reallocate,
    .release    = standard_release,
};

int ac_set_allocator(const ac_allocator *allocator)
{
    if (allocator == NULL) {
        current = standard;
        return 0;
    }
    /* `size` is looked at first: a smaller structure ends before the other members. */
    if (allocator->size < sizeof(ac_allocator) || allocator->reallocate == NULL
        || allocator->release == NULL)
        return -EINVAL;
    current = *allocator;
    return 0;
}

void *ac__realloc(void *ptr, size_t len)
{
    /* A size of 0 frees in some C libraries and allocates in others. */
    return current.reallocate(current.context, ptr, len > 0 ? len : 1);
}

void *ac__alloc(size_t len)
{
    return ac__realloc(NULL, len);
}

void *ac__calloc(size_t len)
{
    void *ptr = ac__alloc(len);

    if (ptr != NULL)
        memset(ptr, 0, len);
    return ptr;
}

void ac__free(void *ptr)
{
    if (ptr != NULL)
        current.release(current.context, ptr);
}

char *ac__strdup(const char *text)
{
    size_t len  = strlen(text) + 1;
    char  *copy = ac__alloc(len);

    if (copy != NULL)
        memcpy(copy, text, len);
    return copy;
}

int ac__grow(void *array_of_pointer, size_t *cap, size_t want, size_t size)
{
    size_t old = *cap;
    int    rc  = ac__grow_unset(array_of_pointer, cap, want, size);
    char  *array;

    if (rc == 0 && *cap > old) {
        memcpy(&array, array_of_pointer, sizeof array);
        memset(array + old * size, 0, (*cap - old) * size);
    }
    return rc;
}

int ac__grow_unset(void *array_of_pointer, size_t *cap, size_t want, size_t size)
{
    size_t room = *cap;
    char  *array;

    if (want <= room)
        return 0;
    if (want > PTRDIFF_MAX / size)
        return -ENOMEM;
    if (room < 8)
        room = 8;
    while (room < want)
        room = room > SIZE_MAX / 2 ? want : room + room / 2;
    if (room > PTRDIFF_MAX / size)
        room = want;

    /* Copied, since a `T **` must not be read through a `void **`. */
    memcpy(&array, array_of_pointer, sizeof array);
    array = ac__realloc(array, room * size);
    if (array == NULL)
        return -ENOMEM;
    memcpy(array_of_pointer, &array, sizeof array);
    *cap = room;
    return 0;
}
