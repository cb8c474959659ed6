/* SPDX-License-Identifier: Apache-2.0 */
/* Follows pointers of a list that it links first: pointers loaded from memory. */
#include "bench/programs/program.h"

struct node {
    struct node *next;
    u64 value;
};

struct node nodes[256];

ENTRY entry(u64 n)
{
    const struct node *node = nodes;
    u64 sum = 0;

    for (u32 i = 0; i < n * 16; i++) {
        nodes[i].next = &nodes[(i * 73 + 37) & 255];
        nodes[i].value = i * 3;
    }
    for (u64 i = 0; i < n * 128; i++) {
        sum = sum * 5 + node->value;
        node = node->next;
    }
    return sum;
}
