/* SPDX-License-Identifier: MIT */
/* Stands in for ThreadSanitizer's library; the names are those that the compilers call. */
#include "lines.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SLOTS = 1 << 16 };

struct line {
    uintptr_t     number; /* its address over LINE_SIZE; 0: a free slot */
    unsigned long reads, writes;
};

static struct line                table[LINE_THREADS][SLOTS];
static _Thread_local struct line *mine; /* NULL: nothing is counted */

void lines_clear(void)
{
    memset(table, 0, sizeof table);
}

void lines_begin(unsigned index)
{
    mine = table[index];
}

void lines_end(void)
{
    mine = NULL;
}

/* The slot of a line, or the free one that it would have; NULL: the table is full. */
static struct line *find(struct line *slots, uintptr_t number)
{
    size_t at = (number * 0x9E3779B97F4A7C15U) >> 48;

    for (size_t i = 0; i < SLOTS; i++, at = (at + 1) % SLOTS) {
        if (slots[at].number == number || slots[at].number == 0)
            return &slots[at];
    }
    return NULL;
}

static void touch(const volatile void *addr, size_t len, bool write)
{
    uintptr_t first = (uintptr_t)addr / LINE_SIZE, last = ((uintptr_t)addr + len - 1) / LINE_SIZE;

    if (mine == NULL || len == 0)
        return;
    for (uintptr_t number = first; number <= last; number++) {
        struct line *l = find(mine, number);

        if (l == NULL)
            continue;
        l->number = number;
        *(write ? &l->writes : &l->reads) += 1;
    }
}

unsigned lines_shared(unsigned long often)
{
    unsigned count = 0;

    for (size_t i = 0; i < SLOTS; i++) {
        const struct line *a = &table[0][i], *b;

        if (a->number == 0)
            continue;
        b = find(table[1], a->number);
        if (b == NULL || b->number == 0 || a->reads + a->writes < often
            || b->reads + b->writes < often || (a->writes < often && b->writes < often))
            continue;
        count++;
        fprintf(stderr,
                "line %#jx: %lu reads and %lu writes, and %lu and %lu of the other thread\n",
                (uintmax_t)(a->number * LINE_SIZE), a->reads, a->writes, b->reads, b->writes);
    }
    return count;
}

unsigned lines_written(unsigned index, unsigned long often)
{
    unsigned count = 0;

    for (size_t i = 0; i < SLOTS; i++)
        count += table[index][i].writes >= often;
    return count;
}

/* --- what compilers call ------------------------------------------------------------------------ */

#define ACCESS(size)                                                                               \
    void __tsan_read##size(void *a);                                                               \
    void __tsan_read##size(void *a)                                                                \
    {                                                                                              \
        touch(a, size, false);                                                                     \
    }                                                                                              \
    void __tsan_write##size(void *a);                                                              \
    void __tsan_write##size(void *a)                                                               \
    {                                                                                              \
        touch(a, size, true);                                                                      \
    }                                                                                              \
    void __tsan_unaligned_read##size(void *a);                                                     \
    void __tsan_unaligned_read##size(void *a)                                                      \
    {                                                                                              \
        touch(a, size, false);                                                                     \
    }                                                                                              \
    void __tsan_unaligned_write##size(void *a);                                                    \
    void __tsan_unaligned_write##size(void *a)                                                     \
    {                                                                                              \
        touch(a, size, true);                                                                      \
    }                                                                                              \
    void __tsan_read_write##size(void *a);                                                         \
    void __tsan_read_write##size(void *a)                                                          \
    {                                                                                              \
        touch(a, size, true);                                                                      \
    }

ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc)
{
    (void)pc;
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

void __tsan_read_range(void *a, unsigned long len);
void __tsan_read_range(void *a, unsigned long len)
{
    touch(a, len, false);
}

void __tsan_write_range(void *a, unsigned long len);
void __tsan_write_range(void *a, unsigned long len)
{
    touch(a, len, true);
}

void *__tsan_memcpy(void *to, const void *from, unsigned long len);
void *__tsan_memcpy(void *to, const void *from, unsigned long len)
{
    touch(from, len, false);
    touch(to, len, true);
    return memcpy(to, from, len);
}

void *__tsan_memmove(void *to, const void *from, unsigned long len);
void *__tsan_memmove(void *to, const void *from, unsigned long len)
{
    touch(from, len, false);
    touch(to, len, true);
    return memmove(to, from, len);
}

void *__tsan_memset(void *to, int value, unsigned long len);
void *__tsan_memset(void *to, int value, unsigned long len)
{
    touch(to, len, true);
    return memset(to, value, len);
}

#define ATOMIC_OP(bits, type, op)                                                                  \
    type __tsan_atomic##bits##_fetch_##op(volatile type *a, type v, int order);                    \
    type __tsan_atomic##bits##_fetch_##op(volatile type *a, type v, int order)                     \
    {                                                                                              \
        (void)order;                                                                               \
        touch(a, sizeof *a, true);                                                                 \
        return __atomic_fetch_##op(a, v, __ATOMIC_SEQ_CST);                                        \
    }

#define ATOMIC_CAS(bits, type, how, is_weak)                                                       \
    int __tsan_atomic##bits##_compare_exchange_##how(volatile type *a, type *expected, type v,     \
                                                     int order, int failed);                       \
    int __tsan_atomic##bits##_compare_exchange_##how(volatile type *a, type *expected, type v,     \
                                                     int order, int failed)                        \
    {                                                                                              \
        (void)order;                                                                               \
        (void)failed;                                                                              \
        touch(a, sizeof *a, true);                                                                 \
        return __atomic_compare_exchange_n(a, expected, v, is_weak, __ATOMIC_SEQ_CST,              \
                                           __ATOMIC_SEQ_CST);                                      \
    }

#define ATOMIC(bits, type)                                                                         \
    type __tsan_atomic##bits##_load(const volatile type *a, int order);                            \
    type __tsan_atomic##bits##_load(const volatile type *a, int order)                             \
    {                                                                                              \
        (void)order;                                                                               \
        touch(a, sizeof *a, false);                                                                \
        return __atomic_load_n(a, __ATOMIC_SEQ_CST);                                               \
    }                                                                                              \
    void __tsan_atomic##bits##_store(volatile type *a, type v, int order);                         \
    void __tsan_atomic##bits##_store(volatile type *a, type v, int order)                          \
    {                                                                                              \
        (void)order;                                                                               \
        touch(a, sizeof *a, true);                                                                 \
        __atomic_store_n(a, v, __ATOMIC_SEQ_CST);                                                  \
    }                                                                                              \
    type __tsan_atomic##bits##_exchange(volatile type *a, type v, int order);                      \
    type __tsan_atomic##bits##_exchange(volatile type *a, type v, int order)                       \
    {                                                                                              \
        (void)order;                                                                               \
        touch(a, sizeof *a, true);                                                                 \
        return __atomic_exchange_n(a, v, __ATOMIC_SEQ_CST);                                        \
    }                                                                                              \
    ATOMIC_OP(bits, type, add)                                                                     \
    ATOMIC_OP(bits, type, sub)                                                                     \
    ATOMIC_OP(bits, type, or)                                                                      \
    ATOMIC_OP(bits, type, and)                                                                     \
    ATOMIC_CAS(bits, type, strong, 0)                                                              \
    ATOMIC_CAS(bits, type, weak, 1)                                                                \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *a, type expected, type v,       \
                                                    int order, int failed);                        \
    type __tsan_atomic##bits##_compare_exchange_val(volatile type *a, type expected, type v,       \
                                                    int order, int failed)                         \
    {                                                                                              \
        (void)__tsan_atomic##bits##_compare_exchange_strong(a, &expected, v, order, failed);       \
        return expected;                                                                           \
    }

ATOMIC(8, uint8_t)
ATOMIC(16, uint16_t)
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
    (void)order;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
    (void)order;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}
