/* SPDX-License-Identifier: Apache-2.0 */
/* The engines against each other: the input's bytes become a valid program
 * (tests/support/generate.h), which runs on the interpreter and on one variant of the compiler
 * (tests/support/variants.h) that the input chooses. All that can be observed must be the same: r0,
 * the registers, all memory the program can write, kind, address, instruction and registers of a
 * fault. Host memory around the program's must keep its canaries.
 *
 * So that very many programs can be compared, most use memory that stays mapped (twins.h,
 * code_zone.h). Each THOROUGH_RARITYth is run as programs of users are, with memory of its own, by
 * all variants and by the interpreter with a trace, and each variant's code must pass its proof.
 *
 * Of a program that fails fuzz_explain prints what is left when all that does not matter is taken
 * out, and the memory that it must be given. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "jit-x86_64/verify.h"
#include "tests/support/code_zone.h"
#include "tests/support/generate.h"
#include "tests/support/reduce.h"
#include "tests/support/twins.h"
#include "tests/support/variants.h"
#include "vm/engine.h"

enum {
    TICK_MS = 4,
    BUDGET_MS = 20,
    PROOF_RARITY = 32,
    THOROUGH_RARITY = 2048,
};

static void fail(const struct t_code *code, unsigned variant, const char *what)
{
    t_dump(code->insns, code->count);
    fprintf(stderr, "engines: %s: %s\n", t_variant_name(variant), what);
    abort();
}

static void fail_differing(const struct t_code *code, unsigned variant, const char *difference,
                           const struct t_outcome *want, const struct t_outcome *got,
                           const char *detail)
{
    char text[2][100], line[400];
    t_outcome_text(want, text[0], sizeof text[0]);
    t_outcome_text(got, text[1], sizeof text[1]);
    snprintf(line, sizeof line, "%s differs: %s, want %s%s%s", difference, text[1], text[0],
             *detail ? ": " : "", detail);
    fail(code, variant, line);
}

static bool spent(const struct t_outcome *o)
{
    return o->state == VM_STATE_FAULT && o->fault.kind == VM_FAULT_BUDGET;
}

/* ---- what is counted */

enum {
    VARIANTS_MAX = 24,
    COUNT_PROGRAMS = 0,
    COUNT_INSNS,
    COUNT_PROVEN,
    COUNT_THOROUGH,
    COUNT_ENDED, /* by enum vm_fault_kind */
    COUNT_VARIANTS = COUNT_ENDED + VM_FAULT_COUNT,
    COUNT_GENERATED = COUNT_VARIANTS + VARIANTS_MAX, /* by enum vm_ix */
    COUNT_EXECUTED = COUNT_GENERATED + VM_IX_COUNT,
    COUNTS = COUNT_EXECUTED + VM_IX_COUNT,
};

static uint64_t counts[COUNTS];
static void print_counts(const uint64_t *values);
struct fuzz_counters fuzz_counters = {COUNTS, counts, print_counts};

static void count(unsigned what)
{
    fuzz_counters.values[what]++;
}

static void count_rows(const struct vm_program *program)
{
    for (uint32_t i = 0; i < program->insn_count; i++) {
        enum vm_ix ix = (enum vm_ix)program->ops[i].ix;
        count(COUNT_GENERATED + ix);
        i += vm_isa[ix].group == VM_GROUP_LDDW;
    }
    fuzz_counters.values[COUNT_INSNS] += program->insn_count;
}

static void print_rows(const char *what, const uint64_t *values)
{
    unsigned seen = 0, seldom = 0;
    for (unsigned ix = 0; ix < VM_IX_COUNT; ix++) {
        seen += values[ix] != 0;
        seldom = values[ix] < values[seldom] ? ix : seldom;
    }
    printf("  instructions %s: %u of %u, %s %llu times at least\n", what, seen, VM_IX_COUNT,
           vm_isa[seldom].mnemonic, (unsigned long long)values[seldom]);
}

static void print_counts(const uint64_t *values)
{
    double programs = values[COUNT_PROGRAMS] ? (double)values[COUNT_PROGRAMS] : 1;
    printf("  %.1f instructions each; %llu images proven, %llu programs on all variants\n  ended:",
           (double)values[COUNT_INSNS] / programs, (unsigned long long)values[COUNT_PROVEN],
           (unsigned long long)values[COUNT_THOROUGH]);
    for (unsigned kind = 0; kind < VM_FAULT_COUNT; kind++)
        if (values[COUNT_ENDED + kind])
            printf(" %s %llu", kind == VM_FAULT_NONE ? "well" : t_fault_names[kind],
                   (unsigned long long)values[COUNT_ENDED + kind]);
    printf("\n  on:");
    for (unsigned v = T_VARIANT_JIT; v < t_variant_count(); v++)
        printf("%s %s %llu", v == T_VARIANT_JIT ? "" : ",", t_variant_name(v),
               (unsigned long long)values[COUNT_VARIANTS + v]);
    printf("\n");
    print_rows("generated", values + COUNT_GENERATED);
    print_rows("executed on all variants", values + COUNT_EXECUTED);
}

static struct vm_image *prepare(const struct t_code *code, const struct vm_program *program,
                                unsigned variant, bool prove)
{
    struct vm_diag diag;
    struct vm_image *image = t_variant_image(variant, program, &diag);
    if (!image || (prove && !jit_verify_image(image, &diag)))
        fail(code, variant, diag.text);
    if (prove)
        count(COUNT_PROVEN);
    return image;
}

/* ---- the fast way */

static void compare_twins(const struct t_code *code, const struct t_input *input, unsigned variant,
                          bool prove)
{
    static struct t_outcome outcomes[T_TWINS];
    struct vm_diag diag;
    char detail[100];
    struct vm_program *program = t_generated_bare(code, &diag);
    if (!program)
        fail(code, T_VARIANT_INTERP, diag.text); /* the generator makes valid programs only */
    t_code_zone(true);
    struct vm_image *images[T_TWINS] = {prepare(code, program, T_VARIANT_INTERP, false),
                                        prepare(code, program, variant, prove)};
    t_twins_run(code, (const struct vm_image *const *)images, input, outcomes);
    t_code_zone(false);
    const char *harm = t_twins_harm();
    if (harm)
        fail(code, variant, harm);
    count(COUNT_PROGRAMS);
    count(COUNT_VARIANTS + variant);
    count(COUNT_ENDED + outcomes[0].fault.kind);
    count_rows(program);
    if (!spent(&outcomes[0]) && !spent(&outcomes[1])) {
        const char *difference = t_twins_difference(outcomes, detail, sizeof detail);
        if (difference)
            fail_differing(code, variant, difference, &outcomes[0], &outcomes[1], detail);
    }
    vm_image_free(images[0]);
    vm_image_free(images[1]);
    vm_program_free(program);
}

/* ---- the thorough way */

static void count_executed(void *program, uint32_t insn, const uint64_t regs[11])
{
    (void)regs;
    count(COUNT_EXECUTED + ((const struct vm_program *)program)->ops[insn].ix);
}

static void run_alone(const struct t_code *code, const struct vm_program *program, unsigned variant,
                      bool trace, const struct t_input *input, struct t_outcome *out)
{
    struct vm_image *image = prepare(code, program, variant, variant != T_VARIANT_INTERP);
    struct vm_run *run = vm_run_start(t_thread(), image, NULL, NULL);
    if (!run)
        fail(code, variant, "no memory for another run");
    if (trace)
        vm_run_set_trace(run, count_executed, (void *)(uintptr_t)program);
    t_run_started(run, input, out);
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
}

static void compare_all(const struct t_code *code, const struct t_input *input)
{
    static struct t_outcome want, got;
    struct vm_diag diag;
    struct vm_program *program = t_generated_program(code, &diag);
    if (!program)
        fail(code, T_VARIANT_INTERP, diag.text);
    run_alone(code, program, T_VARIANT_INTERP, false, input, &want);
    for (unsigned v = T_VARIANT_INTERP; v < t_variant_count(); v++) {
        run_alone(code, program, v, v == T_VARIANT_INTERP, input, &got);
        const char *difference = t_difference(&want, &got);
        if (difference && !spent(&want) && !spent(&got))
            fail_differing(code, v, difference, &want, &got, "");
    }
    count(COUNT_THOROUGH);
    vm_program_free(program);
}

/* ---- one input */

static uint32_t hash(const uint8_t *data, size_t size)
{
    uint32_t h = (uint32_t)size;
    for (size_t i = 0; i < size; i++)
        h = (h ^ data[i]) * 0x01000193u;
    return h ^ h >> 15;
}

/* Numbers of all sizes; a third of the words have no upper half. */
static void fill_memory(uint8_t memory[T_GENERATED_MEMORY], const uint8_t *data, size_t size)
{
    for (unsigned i = 0, at = 0; i < T_GENERATED_MEMORY; i++) {
        bool is_upper = i / 8 % 3 == 0 && i % 8 > 3;
        memory[i] = is_upper ? 0 : (uint8_t)(i * 73 ^ (size ? data[at] : 0));
        at = at + 1 < size ? at + 1 : 0;
    }
}

/* What the input's bytes say beside the program. */
struct choices {
    uint8_t memory[T_GENERATED_MEMORY];
    unsigned variant;
    bool proves;
    bool is_thorough;
};

static void choose(struct choices *c, const uint8_t *data, size_t size)
{
    uint32_t h = hash(data, size);
    check(t_variant_count() <= VARIANTS_MAX);
    fill_memory(c->memory, data, size);
    c->variant = T_VARIANT_JIT + h % (t_variant_count() - T_VARIANT_JIT);
    h /= t_variant_count();
    c->proves = h % PROOF_RARITY == 0;
    c->is_thorough = h / PROOF_RARITY % THOROUGH_RARITY == 0;
}

static void compare(const struct t_code *code, const struct choices *c)
{
    static bool started;
    struct t_input input = {.memory = c->memory, .memory_bytes = sizeof c->memory};
    if (!started)
        t_thread_with(&(struct vm_thread_config){.tick_ms = TICK_MS, .budget_ms = BUDGET_MS});
    started = true;
    compare_twins(code, &input, c->variant, c->proves);
    if (c->is_thorough)
        compare_all(code, &input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct t_code code;
    struct choices choices;
    t_generate(&code, data, size);
    choose(&choices, data, size);
    compare(&code, &choices);
    return 0;
}

/* ---- when they differ */

static bool differs(const struct t_code *code, void *choices)
{
    struct vm_diag diag;
    struct vm_program *program = t_generated_bare(code, &diag);
    if (!program)
        return false;
    vm_program_free(program);
    compare(code, choices); /* ends the process when they do */
    return false;
}

void fuzz_explain(const uint8_t *data, size_t size)
{
    static struct t_code code;
    struct choices choices;
    t_generate(&code, data, size);
    choose(&choices, data, size);
    choices.proves = true;
    t_reduce(&code, differs, &choices);
    fprintf(stderr, "reduced to %u instructions, of which r1 points at the bytes\n   ", code.count);
    for (unsigned i = 0; i < sizeof choices.memory; i++)
        fprintf(stderr, " %02x", choices.memory[i]);
    fprintf(stderr, "\n");
    compare(&code, &choices);
}
