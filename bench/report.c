/* SPDX-License-Identifier: Apache-2.0 */
/* The tables, and the same numbers as JSON. */
#include <math.h>

#include "bench/bench.h"

static double ratio(const struct bench_program *p, enum bench_column column)
{
    return p->ns[column] / p->native_ns;
}

static double interp_ns(const struct bench_program *p)
{
    return p->ns[BENCH_INTERP] / (double)p->insns;
}

struct summary {
    double geomean;
    double worst;
    const char *worst_name;
};

/* Of the rows where `of` is not 0. */
static struct summary summarize(const struct bench_programs *all,
                                double of(const struct bench_program *))
{
    struct summary s = {.worst_name = "-"};
    double logs = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < all->count; i++) {
        double value = of(&all->at[i]);

        if (value > 0) {
            logs += log(value);
            count++;
            if (value > s.worst) {
                s.worst = value;
                s.worst_name = all->at[i].name;
            }
        }
    }
    s.geomean = count != 0 ? exp(logs / count) : 0;
    return s;
}

static double jit_ratio(const struct bench_program *p)
{
    return ratio(p, BENCH_JIT);
}

static double uncaged_ratio(const struct bench_program *p)
{
    return ratio(p, BENCH_UNCAGED);
}

static double cage_ratio(const struct bench_program *p)
{
    return p->ns[BENCH_JIT] / p->ns[BENCH_UNCAGED];
}

static double ubpf_jit_ratio(const struct bench_program *p)
{
    return ratio(p, BENCH_UBPF_JIT);
}

static double ubpf_interp_ns(const struct bench_program *p)
{
    return p->ns[BENCH_UBPF_INTERP] / (double)p->insns;
}

static const struct {
    const char *name;
    const char *key;
    double (*of)(const struct bench_program *);
} summaries[] = {
    {"jit / native", "jit_ratio", jit_ratio},
    {"uncaged jit / native", "uncaged_ratio", uncaged_ratio},
    {"jit / uncaged jit: the cage", "cage_ratio", cage_ratio},
    {"interpreter, ns an instruction", "interp_ns_per_insn", interp_ns},
    {"uBPF jit / native", "ubpf_jit_ratio", ubpf_jit_ratio},
    {"uBPF interpreter, ns an instruction", "ubpf_interp_ns_per_insn", ubpf_interp_ns},
};

#define SUMMARY_COUNT (sizeof summaries / sizeof summaries[0])

static void print_number(double value, int width, int digits)
{
    if (value > 0) {
        printf(" %*.*f", width, digits, value);
    } else {
        printf(" %*s", width, "-");
    }
}

static void print_programs(const struct bench_programs *all)
{
    printf("%-16s %9s %9s %9s %7s %7s %9s %10s %9s %9s %9s\n", "program", "gcc-ns", "clang-ns",
           "jit-ns", "jit/nat", "cage", "insns", "interp-ns", "ns/insn", "ubpf/nat", "ubpf-ns/i");
    for (unsigned i = 0; i < all->count; i++) {
        const struct bench_program *p = &all->at[i];

        printf("%-16s", p->name);
        print_number(p->ns[BENCH_GCC], 9, 0);
        print_number(p->ns[BENCH_CLANG], 9, 0);
        print_number(p->ns[BENCH_JIT], 9, 0);
        print_number(jit_ratio(p), 7, 2);
        print_number(cage_ratio(p), 7, 2);
        print_number((double)p->insns, 9, 0);
        print_number(p->ns[BENCH_INTERP], 10, 0);
        print_number(interp_ns(p), 9, 2);
        print_number(ubpf_jit_ratio(p), 9, 2);
        print_number(ubpf_interp_ns(p), 9, 2);
        putchar('\n');
    }
}

void bench_print(const struct bench_programs *programs, const struct bench_costs *costs)
{
    print_programs(programs);
    printf("\n%-38s %10s %10s  %s\n", "of all programs", "geomean", "worst", "which");
    for (size_t i = 0; i < SUMMARY_COUNT; i++) {
        struct summary s = summarize(programs, summaries[i].of);

        if (s.geomean > 0) {
            printf("%-38s %10.2f %10.2f  %s\n", summaries[i].name, s.geomean, s.worst,
                   s.worst_name);
        }
    }
    printf("\n%-50s %10s %-5s %8s\n", "cost", "measured", "", "at most");
    for (unsigned i = 0; i < costs->count; i++) {
        const struct bench_cost *c = &costs->at[i];

        printf("%-50s %10.2f %-5s", c->name, c->value, c->unit);
        print_number(c->bar, 8, 2);
        puts(c->bar == 0 ? "" : c->value <= c->bar ? "  ok" : "  over");
    }
}

/* ---- JSON ---- */

static void write_program(FILE *out, const struct bench_program *p, const char *comma)
{
    static const char *const keys[BENCH_COLUMN_COUNT] = {
        "gcc_ns", "clang_ns", "jit_ns", "uncaged_ns", "interp_ns", "ubpf_jit_ns", "ubpf_interp_ns"};

    fprintf(out, "    {\"name\": \"%s\", \"insns\": %llu", p->name, (unsigned long long)p->insns);
    for (int c = 0; c < BENCH_COLUMN_COUNT; c++) {
        if (p->ns[c] > 0) {
            fprintf(out, ", \"%s\": %.1f", keys[c], p->ns[c]);
        }
    }
    fprintf(out, "}%s\n", comma);
}

void bench_write_json(FILE *out, const struct bench_programs *programs,
                      const struct bench_costs *costs)
{
    fputs("{\n  \"programs\": [\n", out);
    for (unsigned i = 0; i < programs->count; i++) {
        write_program(out, &programs->at[i], i + 1 < programs->count ? "," : "");
    }
    fputs("  ],\n  \"summary\": {", out);
    for (size_t i = 0; i < SUMMARY_COUNT; i++) {
        struct summary s = summarize(programs, summaries[i].of);

        fprintf(out, "%s\n    \"%s\": {\"geomean\": %.4f, \"worst\": %.4f, \"program\": \"%s\"}",
                i != 0 ? "," : "", summaries[i].key, s.geomean, s.worst, s.worst_name);
    }
    fputs("\n  },\n  \"costs\": [\n", out);
    for (unsigned i = 0; i < costs->count; i++) {
        const struct bench_cost *c = &costs->at[i];

        fprintf(out,
                "    {\"name\": \"%s\", \"value\": %.3f, \"unit\": \"%s\", \"at_most\": %g}%s\n",
                c->name, c->value, c->unit, c->bar, i + 1 < costs->count ? "," : "");
    }
    fputs("  ]\n}\n", out);
}
