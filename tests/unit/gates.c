/* SPDX-License-Identifier: Apache-2.0 */
/* The gates of common kinds of arguments do what the one for all kinds does: the same calls made,
 * the same refused, for the same reason. And what hosts note of arguments. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/asm.h"
#include "tests/support/machine.h"
#include "tests/support/subject.h"
#include "vm/run.h"

/* What was read, and how much of it there was; what is written is filled. */
static uint64_t look(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t hash = 14695981039346656037u;

    (void)context;
    for (int i = 0; i < 5; i++) {
        hash = (hash ^ arg[i].value ^ arg[i].length << 32 ^ (arg[i].data == NULL)) * 1099511628211u;
        for (size_t at = 0; at < arg[i].length; at++) {
            hash = (hash ^ arg[i].data[at]) * 1099511628211u;
        }
    }
    return hash;
}

static uint64_t fill_first(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t hash = look(context, arg);

    memset(arg[0].data, 7, arg[0].length);
    return hash;
}

static uint64_t fill_second(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t hash = look(context, arg);

    memset(arg[2].data, 7, arg[2].length);
    return hash;
}

enum { R = VM_ARG_READ, W = VM_ARG_WRITE, L = VM_ARG_LENGTH };
static const struct vm_helper helpers[] = {
    {"read", look, {R, L}, 1},
    {"write", fill_first, {W, L}, 2},
    {"read_read", look, {R, L, R, L}, 3},
    {"read_write", fill_second, {R, L, W, L}, 4},
};
static vm_gate_fn *const own[] = {vm_gate_READ_NONE, vm_gate_WRITE_NONE, vm_gate_READ_READ,
                                  vm_gate_READ_WRITE};

struct seen {
    enum vm_state state;
    uint64_t result;
    struct vm_fault fault;
};

static const uint8_t constants[80] = "constants of the program";

/* A program that calls the helper; `gate`: instead of its own. */
static struct subject make(const struct vm_engine *engine, const struct vm_helper *helper,
                           vm_gate_fn *gate)
{
    struct t_asm code;
    struct vm_diag diag;
    struct subject s;
    const struct vm_helper *list[] = {helper};
    char text[100];
    snprintf(text, sizeof text, "stb [r10-1], 9\nstb [r10-300], 8\ncall %s\nexit\n", helper->name);
    bool ok = t_assemble(&code, text, list, 1);
    cr_assert(ok, "%s", code.error);
    s.program = vm_program_create(&(struct vm_program_desc){.name = "gates",
                                                            .insns = code.insns,
                                                            .insn_count = code.count,
                                                            .helpers = list,
                                                            .helper_count = 1,
                                                            .rodata = constants,
                                                            .rodata_bytes = sizeof constants,
                                                            .data_bytes_total = 24},
                                  &diag);
    cr_assert(s.program, "%s", diag.text);
    s.program->gates[0].pass = gate;
    s.image = vm_image_create(engine, s.program, &diag);
    cr_assert(s.image, "%s", diag.text);
    t_asm_free(&code);
    return s;
}

static struct seen call(struct subject s, const uint64_t args[5])
{
    struct seen seen;
    struct vm_run *run = vm_run_start(t_thread(), s.image, NULL, NULL);
    cr_assert(run);
    vm_run_set_args(run, args);
    do {
        seen.state = vm_run_resume(run);
    } while (seen.state == VM_STATE_PREEMPTED); /* by a tick that the machine was late with */
    seen.result = seen.state == VM_STATE_DONE ? vm_run_result(run) : 0;
    seen.fault = *vm_run_fault(run);
    vm_run_free(run);
    return seen;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void expect_same(const struct seen *a, const struct seen *b, const uint64_t args[5])
{
    cr_expect(
        a->state == b->state && a->result == b->result && a->fault.kind == b->fault.kind &&
            a->fault.argument == b->fault.argument && a->fault.span_start == b->fault.span_start &&
            a->fault.span_bytes == b->fault.span_bytes && same_text(a->fault.text, b->fault.text) &&
            same_text(a->fault.helper, b->fault.helper),
        "%#lx+%lu, %#lx+%lu: %d %#lx %s, and by the gate for all %d %#lx %s", args[0], args[1],
        args[2], args[3], (int)a->state, a->result, a->fault.text ? a->fault.text : "",
        (int)b->state, b->result, b->fault.text ? b->fault.text : "");
}

static void gates_agree(const struct vm_engine *engine)
{
    const uint64_t addresses[] = {0,
                                  VM_IMAGE_BASE,
                                  VM_IMAGE_BASE + sizeof constants - 1,
                                  vm_data_address(sizeof constants),
                                  vm_data_address(sizeof constants) + 20,
                                  VM_STACK_TOP - 300,
                                  VM_STACK_TOP - 8,
                                  VM_STACK_TOP,
                                  VM_HEAP_BASE,
                                  0x100000000u + VM_IMAGE_BASE,
                                  UINT64_MAX};
    const uint64_t lengths[] = {0, 1, 8, sizeof constants, 300, UINT32_MAX, UINT64_MAX};
    enum { ADDRESSES = sizeof addresses / sizeof *addresses };
    enum { LENGTHS = sizeof lengths / sizeof *lengths, PLACES = ADDRESSES * LENGTHS };
    for (size_t h = 0; h < sizeof helpers / sizeof *helpers; h++) {
        unsigned ended[2] = {0};
        cr_assert_eq(vm_gate_of(&helpers[h]).pass, own[h]);
        struct subject one = make(engine, &helpers[h], own[h]);
        struct subject all = make(engine, &helpers[h], vm_gate_any);
        for (unsigned i = 0; i < PLACES * PLACES; i++) {
            const uint64_t args[5] = {addresses[i % ADDRESSES], lengths[i / ADDRESSES % LENGTHS],
                                      addresses[i / PLACES % ADDRESSES],
                                      lengths[i / PLACES / ADDRESSES], 3};
            struct seen a = call(one, args), b = call(all, args);
            expect_same(&a, &b, args);
            ended[a.state == VM_STATE_DONE]++;
        }
        cr_expect_gt(ended[0], 500);
        cr_expect_gt(ended[1], 300);
        subject_drop(one);
        subject_drop(all);
    }
}
BOTH_ENGINES(gates, gates_agree)

/* ---- notes ---- */

/* How often a span was there before, as the note has it that its length gives. */
static uint64_t count(const struct vm_arg *length)
{
    return length->note == NULL ? 0 : (*length->note)++;
}

static uint64_t count_first(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    return count(&arg[1]);
}

static uint64_t count_both(struct vm_context *context, const struct vm_arg arg[5])
{
    uint64_t first = count_first(context, arg);

    return first << 8 | count(&arg[3]);
}

static uint64_t noted(struct subject s, uint64_t address, uint64_t length)
{
    struct seen seen = call(s, (uint64_t[5]){address, length});
    cr_assert_eq(seen.state, VM_STATE_DONE);
    return seen.result;
}

/* One run is used again and again, so its notes are. */
static void constants_have_notes(const struct vm_engine *engine)
{
    static const struct vm_helper helper = {"count", count_first, {R, L}, 1};
    struct subject s = make(engine, &helper, vm_gate_READ_NONE);
    struct subject other = make(engine, &helper, vm_gate_any);
    for (uint64_t i = 0; i < 5; i++) {
        cr_expect_eq(noted(s, VM_IMAGE_BASE, 4), i);
        cr_expect_eq(noted(s, VM_IMAGE_BASE + 16, 4), i);
        cr_expect_eq(noted(s, VM_IMAGE_BASE + 24, 16), i);
    }
    cr_expect_eq(noted(s, VM_IMAGE_BASE, 5), 0, "another constant, if longer");
    cr_expect_eq(noted(s, VM_IMAGE_BASE + 1, 4), 0, "or elsewhere");
    cr_expect_eq(noted(other, VM_IMAGE_BASE + 16, 4), 0, "or of another program");
    cr_expect_eq(noted(s, VM_IMAGE_BASE + 16, 4), 5);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(noted(s, vm_data_address(sizeof constants), 4), 0, "data may change");
        cr_expect_eq(noted(s, VM_STACK_TOP - 300, 4), 0);
        cr_expect_eq(noted(s, VM_IMAGE_BASE + 16, 0), 0, "nothing is no constant");
    }
    cr_expect_eq(noted(s, VM_IMAGE_BASE + 16, 4), 6);
    subject_drop(s);
    subject_drop(other);
}
BOTH_ENGINES(gates, constants_have_notes)

/* No two of a call are told the same note, wherever they lie. */
static void constants_have_notes_of_their_own(const struct vm_engine *engine)
{
    static const struct vm_helper helper = {"count", count_both, {R, L, R, L}, 1};
    vm_gate_fn *const gates[] = {vm_gate_READ_READ, vm_gate_any};

    for (int g = 0; g < 2; g++) {
        struct subject s = make(engine, &helper, gates[g]);
        uint64_t told = 0;
        for (uint64_t second = VM_IMAGE_BASE; second < VM_IMAGE_BASE + sizeof constants; second++) {
            struct seen seen = call(s, (uint64_t[5]){VM_IMAGE_BASE, 1, second, 1});
            cr_assert_eq(seen.state, VM_STATE_DONE);
            cr_expect_eq(seen.result >> 8, told++, "the first has its own");
            cr_expect_eq(seen.result & 0xff, 0, "the second is another one each time");
        }
        subject_drop(s);
    }
}
BOTH_ENGINES(gates, constants_have_notes_of_their_own)

/* Where a host finds constants they stay for as long as the program does, which its run does not.
 */
static const uint8_t *found;
static uint64_t find(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    found = arg[0].data;
    return arg[0].length;
}

static void constants_outlive_runs(const struct vm_engine *engine)
{
    static const struct vm_helper helper = {"find", find, {R, L}, 1};
    struct subject s = make(engine, &helper, vm_gate_READ_NONE);
    const uint8_t *before = NULL;
    for (int i = 0; i < 3; i++) {
        struct seen seen = call(s, (uint64_t[5]){VM_IMAGE_BASE + 3, 7});
        cr_assert(seen.state == VM_STATE_DONE && seen.result == 7);
        cr_expect(i == 0 || found == before);
        before = found;
    }
    vm_thread_forget(t_thread(), s.image);
    cr_expect_arr_eq(found, constants + 3, 7);
    subject_drop(s);
}
BOTH_ENGINES(gates, constants_outlive_runs)
