/* SPDX-License-Identifier: Apache-2.0 */
/* vm_disasm: one line for every kind of instruction, and for what is none. */
#include <criterion/criterion.h>
#include <string.h>

#include "vm/isa.h"
#include "vm/vm.h"

static void expect(const struct vm_insn *insns, uint32_t count, uint32_t index, const char *want)
{
    char text[96];
    (void)vm_disasm(NULL, insns, count, index, text, sizeof text);
    cr_expect_str_eq(text, want);
}

Test(disasm, every_form)
{
    static const struct {
        struct vm_insn insn;
        const char *text;
    } cases[] = {
        {{0xb7, 1, 0, 0, 5}, "mov r1, 5"},
        {{0xb7, 1, 0, 0, -5}, "mov r1, -5"},
        {{0xbc, 1, 2, 0, 0}, "mov32 r1, r2"},
        {{0xbf, 1, 2, 8, 0}, "movsx8to64 r1, r2"},
        {{0x87, 9, 0, 0, 0}, "neg r9"},
        {{0x37, 3, 0, 1, 7}, "sdiv r3, 7"},
        {{0xdc, 4, 0, 0, 16}, "be16 r4"},
        {{0xd7, 4, 0, 0, 64}, "bswap64 r4"},
        {{0x79, 0, 1, 8, 0}, "ldxdw r0, [r1+8]"},
        {{0x91, 0, 10, -1, 0}, "ldsxb r0, [r10-1]"},
        {{0x62, 10, 0, -4, 99}, "stw [r10-4], 99"},
        {{0x7b, 1, 2, 0, 0}, "stxdw [r1+0], r2"},
        {{0xdb, 1, 2, 8, 1}, "atomic_fetch_add [r1+8], r2"},
        {{0xc3, 1, 2, 8, 0xf1}, "atomic_cmpxchg32 [r1+8], r2"},
        {{0x05, 0, 0, -1, 0}, "ja -1 -> 0"},
        {{0x06, 0, 0, 0, 5}, "gotol +5 -> 6"},
        {{0x15, 1, 0, 11, 0}, "jeq r1, 0, +11 -> 12"},
        {{0xce, 1, 2, -3, 0}, "jslt32 r1, r2, -3 -> -2"},
        {{0x85, 0, 0, 0, 7}, "call 7"},
        {{0x85, 0, 1, 0, 7}, "call +7 -> 8"},
        {{0x8d, 3, 0, 0, 0}, "callx r3"},
        {{0x95, 0, 0, 0, 0}, "exit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(&cases[i].insn, 1, 0, cases[i].text);
    }
}

Test(disasm, lddw_takes_two_slots)
{
    const struct vm_insn insns[] = {{0x18, 1, 0, 0, 0x10000}, {0, 0, 0, 0, 0},
                                    {0x18, 2, 0, 0, -1},      {0, 0, 0, 0, 0x12},
                                    {0x18, 3, 4, 0, 1},       {0, 0, 0, 0, 0}};
    char text[64];
    cr_expect_eq(vm_disasm(NULL, insns, 6, 0, text, sizeof text), 2);
    cr_expect_str_eq(text, "lddw r1, 0x10000");
    expect(insns, 6, 2, "lddw r2, 0x12ffffffff");
    expect(insns, 6, 4, "lddw r3, &+1 -> 6");
    cr_expect_eq(vm_disasm(NULL, insns, 1, 0, text, sizeof text), 1, "half of it");
    cr_expect_str_eq(text, ".8byte 0x0001000000000118");
}

Test(disasm, what_is_no_instruction)
{
    static const struct vm_insn cases[] = {
        {0xff, 0, 0, 0, 0},  {0xb7, 11, 0, 0, 0}, {0xb7, 1, 2, 0, 0}, {0xb7, 1, 0, 4, 0},
        {0x95, 0, 0, 0, 1},  {0x0f, 1, 2, 0, 3},  {0xdb, 1, 2, 0, 2}, {0xd4, 1, 0, 0, 24},
        {0x20, 0, 0, 0, 12}, {0x00, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        cr_expect_eq(vm_disasm(NULL, &cases[i], 1, 0, text, sizeof text), 1);
        cr_expect(strncmp(text, ".8byte 0x", 9) == 0, "%zu: %s", i, text);
    }
}

static uint64_t nothing(struct vm_context *context, const struct vm_arg arg[5])
{
    (void)context;
    (void)arg;
    return 0;
}

Test(disasm, names_come_from_the_program)
{
    static const struct vm_helper helper = {.name = "zs_log", .fn = nothing};
    static const struct vm_helper *const helpers[] = {&helper};
    const struct vm_insn insns[] = {{0x85, 0, 0, 0, 0}, {0x85, 0, 1, 0, 3}, {0x18, 1, 4, 0, 2},
                                    {0, 0, 0, 0, 0},    {0x95, 0, 0, 0, 0}, {0x95, 0, 0, 0, 0}};
    const struct vm_function functions[] = {{.name = "check_token", .start = 5}};
    const struct vm_program_desc desc = {.insns = insns,
                                         .insn_count = 6,
                                         .functions = functions,
                                         .function_count = 1,
                                         .helpers = helpers,
                                         .helper_count = 1};
    static const char *const want[] = {"call zs_log", "call check_token", "lddw r1, &check_token"};
    struct vm_diag diag;
    struct vm_program *p = vm_program_create(&desc, &diag);
    char text[64];

    cr_assert_not_null(p, "%s", diag.text);
    for (uint32_t i = 0; i < 3; i++) {
        (void)vm_disasm(p, insns, 6, i, text, sizeof text);
        cr_expect_str_eq(text, want[i]);
    }
    vm_program_free(p);
}

Test(disasm, output_is_cut_to_its_room)
{
    const struct vm_insn insn = {0x7b, 1, 2, 0, 0};
    char text[8];
    memset(text, '#', sizeof text);
    (void)vm_disasm(NULL, &insn, 1, 0, text, 6);
    cr_expect_str_eq(text, "stxdw");
    cr_expect_eq(text[6], '#');
    (void)vm_disasm(NULL, &insn, 1, 0, NULL, 0);
    cr_expect_eq(vm_disasm(NULL, &insn, 1, 1, text, sizeof text), 1, "beyond the end");
    cr_expect_str_eq(text, "");
}

/* Whatever the bits, the text ends in its room and lddw alone takes two slots. */
Test(disasm, any_bits)
{
    uint64_t state = 1;
    for (uint32_t i = 0; i < 200000; i++) {
        struct vm_insn insns[2] = {0};
        char text[64];
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = state ^ state >> 29;
        memcpy(insns, &bits, sizeof bits);
        uint32_t slots = vm_disasm(NULL, insns, 2, 0, text, sizeof text);
        cr_assert(memchr(text, '\0', sizeof text) != NULL);
        cr_assert(slots == 1 || (slots == 2 && insns[0].code == 0x18));
    }
}
