/* SPDX-License-Identifier: MIT */
/* Circular doubly linked lists. A node that is in no list has a NULL `next`. */
#ifndef AC__LIST_H
#define AC__LIST_H

#include "asyncore/dispatcher.h"

typedef struct ac__link_ ac__link;

/* From a node to the structure `T` that holds it as `member`. */
#define AC__OF(T, member, ptr) ((T *)(void *)((char *)(ptr)-offsetof(T, member)))

/* A case that is not the common one: kept out of its caller, whose registers it would take. */
#define AC__ASIDE __attribute__((noinline))

/*
 * A function that runs for each event. -fzero-call-used-regs would clear its registers at each return,
 * a sixth of all its instructions, and they hold nothing but what its caller gave it.
 */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define AC__HOT __attribute__((hot, zero_call_used_regs("skip")))
#else
#define AC__HOT __attribute__((hot))
#endif

static inline void ac__list_init(ac__link *head)
{
    head->prev = head->next = head;
}

static inline bool ac__list_empty(const ac__link *head)
{
    return head->next == head;
}

static inline bool ac__linked(const ac__link *node)
{
    return node->next != NULL;
}

static inline void ac__list_append(ac__link *head, ac__link *node)
{
    node->prev       = head->prev;
    node->next       = head;
    head->prev->next = node;
    head->prev       = node;
}

static inline void ac__list_remove(ac__link *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->prev = node->next = NULL;
}

/* Moves all nodes of `from` to the empty list `to`. */
static inline void ac__list_take(ac__link *to, ac__link *from)
{
    if (ac__list_empty(from)) {
        ac__list_init(to);
        return;
    }
    *to            = *from;
    to->prev->next = to;
    to->next->prev = to;
    ac__list_init(from);
}

#endif
