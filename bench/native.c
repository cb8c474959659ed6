/* SPDX-License-Identifier: Apache-2.0 */
/* Times the same function compiled for this machine: links with one file of bench/programs, prints
 * the result and the median ns a call like zs-vm --repeat. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 200

uint64_t entry(const unsigned char *mem, uint64_t len);

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

int main(void)
{
    uint64_t times[ROUNDS];
    volatile uint64_t result = 0;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = now_ns();

        result = entry(NULL, 0);
        times[i] = now_ns() - start;
    }
    qsort(times, ROUNDS, sizeof times[0], ascending);
    printf("0x%" PRIx64 "\n", result);
    fprintf(stderr, "%" PRIu64 " ns/run\n", times[ROUNDS / 2]);
    return 0;
}
