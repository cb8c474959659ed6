/* SPDX-License-Identifier: Apache-2.0 */
/* Time, and minima of it. */
#include <time.h>

#include "bench/bench.h"

double bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

double bench_clock_cost_ns(void)
{
    static double known;
    double cost = 0;

    for (int i = 0; known == 0 && i < 1000; i++) {
        double start = bench_now_ns();

        for (int k = 0; k < 20; k++) {
            (void)bench_now_ns();
        }
        bench_keep_min(&cost, (bench_now_ns() - start) / 21);
    }
    known = known == 0 ? cost : known;
    return known;
}

void bench_keep_min(double *minimum, double value)
{
    if (*minimum == 0 || value < *minimum) {
        *minimum = value;
    }
}
