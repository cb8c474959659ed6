/* SPDX-License-Identifier: Apache-2.0 */
/* Bugs that other eBPF virtual machines had in native code, in where it lies and in what addresses
 * it makes: peers_bugs.c goes on here, with names of the same kind. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/decode.h"
#include "jit-x86_64/verify.h"
#include "tests/support/contract.h"
#include "vm/limits.h"

static struct vm_image *compiled(const struct vm_program *program)
{
    struct vm_diag diag;
    struct vm_image *image = vm_image_create(&jit_x86_64, program, &diag);
    cr_assert(image, "%s", diag.text);
    return image;
}

static void expect_result(const struct vm_image *image, uint64_t want)
{
    static struct t_outcome outcome;
    t_run(image, &(struct t_input){0}, &outcome);
    contract_result(&outcome, "jit", want);
    vm_thread_forget(t_thread(), image);
}

/* Returns count; its code is about 4 bytes for each, 3 for `shorter` of them. */
static struct vm_program *counting(uint32_t count, uint32_t shorter)
{
    static struct t_code code;
    code.count = 0;
    for (uint32_t i = 0; i < count; i++)
        t_emit(&code, i < shorter ? VM_IX_ADD32_IMM : VM_IX_ADD64_IMM, 0, 0, 0, 1);
    t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
    return contract_built(&code);
}

/* ---- where code lies */

/* Code that just filled the memory it was given was cut, or made the compiler panic. */
Test(peers_code, rbpf_60_code_of_every_size)
{
    unsigned near = 0;
    for (uint32_t count = 940; count < 1030; count++)
        for (uint32_t shorter = 0; shorter < 4; shorter++) {
            struct vm_program *program = counting(count, shorter);
            struct vm_image *image = compiled(program);
            const uint32_t *offsets;
            size_t bytes;
            jit_code(image, &bytes, &offsets);
            if ((bytes + 8) % VM_PAGE_BYTES < 16) {
                expect_result(image, count);
                near++;
            }
            vm_image_free(image);
            vm_program_free(program);
        }
    cr_expect_geq(near, 8, "%u", near);
}

/* Nothing stopped a program counter that ran past the end of the code. */
Test(peers_code, solana_missing_bumper_at_the_end)
{
    struct vm_program *program = counting(3, 0);
    struct vm_image *image = compiled(program);
    const uint32_t *offsets;
    size_t bytes;
    const uint8_t *text = jit_code(image, &bytes, &offsets);
    for (const uint8_t *at = text + bytes; (uintptr_t)at % VM_PAGE_BYTES != 0; at++)
        cr_assert_eq(*at, 0xcc, "%zu", (size_t)(at - text));
    vm_image_free(image);
    vm_program_free(program);
}

/* The zone that programs shared was overrun by the next one. */
Test(peers_code, async_ebpf_code_zone_overrun)
{
    enum { PROGRAMS = 100 };
    struct vm_program *programs[PROGRAMS];
    struct vm_image *images[PROGRAMS];
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        programs[i] = counting(1 + i * 37, i % 3);
        images[i] = compiled(programs[i]);
    }
    for (uint32_t i = 0; i < PROGRAMS; i++)
        expect_result(images[i], 1 + i * 37);
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        vm_image_free(images[i]);
        vm_program_free(programs[i]);
    }
}

/* A number that stood for "no target yet" was that of an instruction. */
Test(peers_code, async_ebpf_target_that_looks_like_none)
{
    static const uint32_t targets[] = {0x7ffe, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x10000};
    enum { COUNT = 0x10008 };
    struct vm_insn *insns = calloc(COUNT, sizeof *insns);
    cr_assert(insns);
    for (unsigned k = 0; k < sizeof targets / sizeof *targets; k++) {
        struct vm_diag diag;
        for (uint32_t i = 0; i < COUNT; i++) /* what is jumped to gives 1, all before it 0 */
            insns[i] =
                (struct vm_insn){.code = vm_isa[VM_IX_MOV64_IMM].code, .imm = i >= targets[k]};
        insns[0] =
            (struct vm_insn){.code = vm_isa[VM_IX_JA32].code, .imm = (int32_t)targets[k] - 1};
        insns[targets[k] - 1].code = insns[COUNT - 1].code = vm_isa[VM_IX_EXIT].code;
        insns[COUNT - 1].imm = 0;
        struct vm_program *program = t_program(insns, COUNT, &diag);
        cr_assert(program, "%s", diag.text);
        struct vm_image *image = compiled(program);
        expect_result(image, 1);
        vm_image_free(image);
        vm_program_free(program);
    }
    free(insns);
}

/* ---- addresses */

/* What an upper half did to an address differed between interpreter and compiler. */
Test(peers_code, sbpf_14_upper_halves_of_addresses)
{
    static const char *const dirty = "lddw r2, 0xdeadbeef00000000\n or r2, r1\n";
    static const char *const uses[] = {
        "stb [r2+3], 7\n ldxb r0, [r1+3]\n exit\n",
        "mov r3, 7\n stxdw [r2+8], r3\n ldxdw r0, [r1+8]\n exit\n",
        "stw [r1+4], 7\n ldxw r0, [r2+4]\n exit\n",
        "mov r3, 7\n atomic_add [r2+16], r3\n ldxw r0, [r1+16]\n exit\n",
        "mov r3, r2\n add r3, 8\n stdw [r1+8], 7\n ldxdw r0, [r3+0]\n exit\n",
        "stb [r1+0], 7\n mov r4, 2\n l:\n ldxb r0, [r2+0]\n sub r4, 1\n jne r4, 0, l\n exit\n",
    };
    for (unsigned i = 0; i < sizeof uses / sizeof *uses; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s%s", dirty, uses[i]);
        contract_returns_with_heap(7, text);
    }
}

/* Register and offset were added with saturation in one engine and wrapped around in the other.
 * Here they do neither: the sum is past either end, where nothing is. */
Test(peers_code, solana_saturating_or_wrapping_addresses)
{
    contract_faults(VM_FAULT_READ, "mov32 r1, -1\n ldxdw r0, [r1+32767]\n exit\n");
    contract_faults(VM_FAULT_READ, "mov32 r1, -8\n ldxdw r0, [r1+8]\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 4\n stdw [r1-8], 1\n exit\n");
    contract_faults(VM_FAULT_WRITE, "mov r1, 0\n stb [r1-32768], 1\n exit\n");
    contract_faults(VM_FAULT_READ, "mov r1, 0x20000\n lsh r1, 32\n ldxb r0, [r1+0]\n exit\n");
}

/* Which half of the divisor counted depended on the engine. */
Test(peers_code, linux_cve_2021_3600_halves_of_a_divisor)
{
    static const char *const half = "lddw r2, 0x500000000\n lddw r3, 0x700000003\n"
                                    "lddw r0, 0x100000011\n";
    static const struct {
        const char *text;
        uint64_t want;
    } uses[] = {
        {"mod32 r0, r2\n exit\n", 0x11}, {"div32 r0, r2\n exit\n", 0},
        {"mod32 r0, r3\n exit\n", 2},    {"div32 r0, r3\n exit\n", 5},
        {"smod32 r0, r3\n exit\n", 2},   {"sdiv32 r0, r2\n exit\n", 0},
    };
    for (unsigned i = 0; i < sizeof uses / sizeof *uses; i++) {
        char text[300];
        snprintf(text, sizeof text, "%s%s", half, uses[i].text);
        contract_returns(uses[i].want, text);
    }
}

/* ---- calls by address */

/* They neither counted nor ended. */
Test(peers_code, solana_271_callx_recursion)
{
    contract_faults(VM_FAULT_CALL_DEPTH, "f:\n lddw r6, &f\n callx r6\n exit\n");
    contract_faults(VM_FAULT_CALL_DEPTH,
                    "lddw r6, &g\n callx r6\n exit\n g:\n lddw r7, &h\n callx r7\n exit\n"
                    "h:\n lddw r6, &g\n callx r6\n exit\n");
}

/* ---- speculation */

/* A wrong guess at a branch let an access go by an address that its check had not seen: of an index
 * (CVE-2019-7308), or of a number where the other way has a pointer (CVE-2021-33624). Here what
 * confines an access is computed, whatever way was taken, by what the proof asks for. */
static void expect_confined(const char *text, uint32_t access)
{
    struct vm_diag diag = {.text = ""};
    struct vm_program *program = contract_accepted(text);
    for (unsigned v = T_VARIANT_JIT; v < t_variant_count(); v++) {
        struct vm_image *image = t_variant_image(v, program, &diag);
        const uint32_t *offset;
        struct decoded d;
        size_t bytes;
        cr_assert(image, "%s", diag.text);
        cr_expect(jit_verify_image(image, &diag), "%s: %s", t_variant_name(v), diag.text);
        const uint8_t *code = jit_code(image, &bytes, &offset);
        for (uint32_t at = offset[access]; at < offset[access + 1]; at += d.size) {
            cr_assert(decode_one(code + at, bytes - at, &d));
            cr_expect_neq(d.kind, KIND_JCC);
        }
        vm_image_free(image);
    }
    vm_program_free(program);
}

Test(peers_code, linux_cve_2019_7308_mispredicted_index)
{
    expect_confined("ldxdw r2, [r1+0]\n jgt r2, 7, +2\n add r1, r2\n ldxb r0, [r1+0]\n exit\n", 3);
}

Test(peers_code, linux_cve_2021_33624_mispredicted_type)
{
    expect_confined("ldxdw r2, [r1+0]\n mov r3, r1\n jeq r2, 0, +1\n mov r3, r2\n"
                    "jne r2, 0, +1\n ldxb r0, [r3+0]\n exit\n",
                    5);
}
