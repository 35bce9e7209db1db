/* SPDX-License-Identifier: MIT */
/* Memory, all of it by way of the allocator that ac_set_allocator() set. NULL: out of memory. */
#ifndef AC__ALLOC_H
#define AC__ALLOC_H

#include <stddef.h>

/*
 * What the libraries above share of this one, and nobody else: exported under the node
 * ASYNCORE_PRIVATE, with which only libraries of the same version may be linked.
 */
#define AC__SHARED_API __attribute__((visibility("default")))

AC__SHARED_API void *ac__alloc(size_t len);
AC__SHARED_API void *ac__calloc(size_t len); /* zeroed */
AC__SHARED_API void *ac__realloc(void *ptr, size_t len);
AC__SHARED_API void  ac__free(void *ptr);
AC__SHARED_API char *ac__strdup(const char *text);

/*
 * Makes room for `want` elements of `size` bytes in an array that grows by half and never
 * shrinks. Returns 0 or -ENOMEM; on failure the array is as it was. New room is zeroed.
 */
AC__SHARED_API int ac__grow(void *array_of_pointer, size_t *cap, size_t want, size_t size);

/* The same with new room left as it is: what is never used never costs a page. */
int ac__grow_unset(void *array_of_pointer, size_t *cap, size_t want, size_t size);

#endif
