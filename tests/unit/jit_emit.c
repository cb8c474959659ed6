/* SPDX-License-Identifier: Apache-2.0 */
/* The parts under the x86-64 compiler: encodings against known bytes, the cage's operands, the
 * mapping of executable memory. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "jit-x86_64/code.h"
#include "jit-x86_64/decode.h"
#include "jit-x86_64/emit.h"
#include "jit-x86_64/mem.h"
#include "vm/limits.h"

/* ---- encodings ------------------------------------------------------------------------------ */

static struct emit fresh(void)
{
    struct emit e;
    emit_init(&e, 4096);
    return e;
}

static void expect_bytes(struct emit *e, const char *hex, int line)
{
    char got[128] = "";
    for (size_t i = 0; i < e->count && i < 40; i++) {
        snprintf(got + 3 * i, sizeof(got) - 3 * i, "%02x ", e->bytes[i]);
    }
    size_t length = strlen(got);
    if (length != 0) {
        got[length - 1] = '\0';
    }
    cr_expect_str_eq(got, hex, "line %d: got %s, want %s", line, got, hex);
    emit_free(e);
}

#define ENCODES(call, hex)                                                                         \
    do {                                                                                           \
        struct emit buffer = fresh(), *e = &buffer;                                                \
        call;                                                                                      \
        expect_bytes(e, hex, __LINE__);                                                            \
    } while (0)

Test(jit_emit, encodes_registers)
{
    ENCODES(emit_mov(e, 64, X86_RAX, X86_RDI), "48 89 f8");
    ENCODES(emit_mov(e, 32, X86_R11, X86_RBX), "41 89 db");
    ENCODES(emit_mov(e, 32, X86_RDI, X86_R15), "44 89 ff");
    ENCODES(emit_mov_imm(e, X86_R13, 0), "45 31 ed");
    ENCODES(emit_mov_imm(e, X86_RSI, 0xffffffff), "be ff ff ff ff");
    ENCODES(emit_mov_imm(e, X86_R8, 0x7fffffff), "41 b8 ff ff ff 7f");
    ENCODES(emit_mov_imm(e, X86_R8, UINT64_MAX), "49 c7 c0 ff ff ff ff");
    ENCODES(emit_mov_imm(e, X86_RDX, 0x123456789a), "48 ba 9a 78 56 34 12 00 00 00");
    ENCODES(emit_movzx(e, 16, X86_R8, X86_R8), "45 0f b7 c0");
    ENCODES(emit_movzx(e, 8, X86_RAX, X86_RDI), "40 0f b6 c7");
    ENCODES(emit_movsx(e, 32, 8, X86_RAX, X86_RBP), "40 0f be c5");
    ENCODES(emit_set(e, X86_B, X86_RAX), "0f 92 c0");
    ENCODES(emit_set(e, X86_GE, X86_RSI), "40 0f 9d c6");
    ENCODES(emit_set(e, X86_NE, X86_R9), "41 0f 95 c1");
    ENCODES(emit_movsx(e, 64, 8, X86_R9, X86_RCX), "4c 0f be c9");
    ENCODES(emit_movsx(e, 64, 32, X86_RAX, X86_R14), "49 63 c6");
    ENCODES(emit_alu(e, X86_ADD, 64, X86_RAX, X86_RBP), "48 01 e8");
    ENCODES(emit_alu_imm(e, X86_SUB, 64, X86_RSP, 8), "48 83 ec 08");
    ENCODES(emit_alu_imm(e, X86_CMP, 32, X86_R14, 128), "41 81 fe 80 00 00 00");
    ENCODES(emit_alu_imm(e, X86_AND, 64, X86_RSP, -16), "48 83 e4 f0");
    ENCODES(emit_test(e, 32, X86_R11, X86_R11), "45 85 db");
    ENCODES(emit_test_imm(e, 64, X86_RDI, 7), "40 f6 c7 07");
    ENCODES(emit_test_imm(e, 64, X86_RDI, -1), "48 f7 c7 ff ff ff ff");
    ENCODES(emit_test_imm(e, 32, X86_R13, 128), "41 f7 c5 80 00 00 00");
    ENCODES(emit_imul(e, 64, X86_R13, X86_RDX), "4c 0f af ea");
    ENCODES(emit_imul_imm(e, 32, X86_RBX, X86_RBX, -3), "6b db fd");
    ENCODES(emit_imul_imm(e, 64, X86_R8, X86_R8, 1000), "4d 69 c0 e8 03 00 00");
    ENCODES(emit_neg(e, 32, X86_RBX), "f7 db");
    ENCODES(emit_mul_wide(e, 64, X86_R11), "49 f7 e3");
    ENCODES(emit_div(e, 64, false, X86_R11), "49 f7 f3");
    ENCODES(emit_div(e, 32, true, X86_R11), "41 f7 fb");
    ENCODES(emit_sign_rdx(e, 64), "48 99");
    ENCODES(emit_bswap(e, 64, X86_R15), "49 0f cf");
    ENCODES(emit_bswap(e, 32, X86_RCX), "0f c9");
}

Test(jit_emit, encodes_shifts)
{
    ENCODES(emit_shift_imm(e, X86_SHL, 64, X86_RAX, 63), "48 c1 e0 3f");
    ENCODES(emit_shift_imm(e, X86_ROR, 32, X86_R11, 3), "41 c1 cb 03");
    ENCODES(emit_shift_cl(e, X86_SAR, 64, X86_R11), "49 d3 fb");
    ENCODES(emit_shift_cl(e, X86_SHR, 32, X86_RDI), "d3 ef");
    ENCODES(emit_shift_reg(e, X86_SHL, 64, X86_RAX, X86_RCX), "c4 e2 f1 f7 c0");
    ENCODES(emit_shift_reg(e, X86_SHR, 32, X86_R13, X86_RDI), "c4 42 43 f7 ed");
    ENCODES(emit_shift_reg(e, X86_SAR, 64, X86_RBX, X86_R15), "c4 e2 82 f7 db");
}

#define MEM(b, i, s, d)                                                                            \
    ((struct x86_mem){.base = X86_##b, .index = X86_##i, .scale = (s), .disp = (d)})

Test(jit_emit, encodes_memory)
{
    /* rsp and r12 as base take a SIB byte, rbp and r13 a displacement. */
    ENCODES(emit_load(e, 64, false, X86_RAX, MEM(RAX, NO_REG, 0, 0)), "48 8b 00");
    ENCODES(emit_load(e, 64, false, X86_RAX, MEM(RSP, NO_REG, 0, 0)), "48 8b 04 24");
    ENCODES(emit_load(e, 64, false, X86_RAX, MEM(R12, NO_REG, 0, 0)), "49 8b 04 24");
    ENCODES(emit_load(e, 64, false, X86_RAX, MEM(RBP, NO_REG, 0, 0)), "48 8b 45 00");
    ENCODES(emit_load(e, 64, false, X86_RAX, MEM(R13, NO_REG, 0, 0)), "49 8b 45 00");
    ENCODES(emit_load(e, 32, false, X86_R8, MEM(R12, NO_REG, 0, -8)), "45 8b 44 24 f8");
    ENCODES(emit_load(e, 32, false, X86_R9, MEM(R10, R11, 2, 0)), "47 8b 0c 9a");
    ENCODES(emit_load(e, 8, false, X86_RAX, MEM(R12, RBP, 0, -1)), "41 0f b6 44 2c ff");
    ENCODES(emit_load(e, 16, true, X86_RDI, MEM(R12, R11, 0, 127)), "4b 0f bf 7c 1c 7f");
    ENCODES(emit_load(e, 32, true, X86_RDI, MEM(R12, R11, 0, 128)), "4b 63 bc 1c 80 00 00 00");
    ENCODES(emit_load(e, 64, false, X86_R13, MEM(R13, R12, 3, 0)), "4f 8b 6c e5 00");
    ENCODES(emit_store(e, 8, MEM(R12, RBP, 0, -8), X86_RDI), "41 88 7c 2c f8");
    ENCODES(emit_store(e, 8, MEM(RBX, NO_REG, 0, 0), X86_RSI), "40 88 33");
    ENCODES(emit_store(e, 8, MEM(RBX, NO_REG, 0, 0), X86_RDX), "88 13");
    ENCODES(emit_store(e, 16, MEM(R12, R11, 0, 0), X86_R14), "66 47 89 34 1c");
    ENCODES(emit_store_imm(e, 8, MEM(R12, RBP, 0, 0), -1), "41 c6 04 2c ff");
    ENCODES(emit_store_imm(e, 16, MEM(R12, RBP, 0, 0), 258), "66 41 c7 04 2c 02 01");
    ENCODES(emit_store_imm(e, 64, MEM(R12, RBP, 0, 0), -2), "49 c7 04 2c fe ff ff ff");
    ENCODES(emit_alu_mem(e, X86_ADD, 64, X86_R8, MEM(R12, R11, 0, 8)), "4f 03 44 1c 08");
    ENCODES(emit_alu_mem(e, X86_XOR, 32, X86_RAX, MEM(RBP, NO_REG, 0, -8)), "33 45 f8");
    ENCODES(emit_alu_mem_imm(e, X86_SUB, 32, MEM(R12, NO_REG, 0, 0), 1), "41 83 2c 24 01");
    ENCODES(emit_lea(e, 64, X86_R9, MEM(R12, NO_REG, 0, -131072)), "4d 8d 8c 24 00 00 fe ff");
    ENCODES(emit_lea(e, 32, X86_R11, MEM(RDI, RCX, 2, 0)), "44 8d 1c 8f");
    ENCODES(emit_lea(e, 64, X86_RAX, MEM(NO_REG, R13, 3, 16)), "4a 8d 04 ed 10 00 00 00");
    ENCODES(emit_lock_alu(e, X86_OR, 64, MEM(R12, R11, 0, 8), X86_RAX), "f0 4b 09 44 1c 08");
    ENCODES(emit_lock_xadd(e, 32, MEM(R12, R11, 0, 0), X86_RSI), "f0 43 0f c1 34 1c");
    ENCODES(emit_lock_cmpxchg(e, 64, MEM(R12, R11, 0, 0), X86_R10), "f0 4f 0f b1 14 1c");
    ENCODES(emit_xchg(e, 32, MEM(R12, R11, 0, 0), X86_RBX), "43 87 1c 1c");
}

Test(jit_emit, encodes_control)
{
    ENCODES(emit_push(e, X86_R15), "41 57");
    ENCODES(emit_pop(e, X86_RBP), "5d");
    ENCODES(emit_push_imm(e, 127), "6a 7f");
    ENCODES(emit_push_imm(e, 128), "68 80 00 00 00");
    ENCODES(emit_lea_here(e, X86_R10, -4096), "4c 8d 15 f9 ef ff ff");
    ENCODES(emit_call(e, 0), "e8 fb ff ff ff");
    ENCODES(emit_call_reg(e, X86_R11), "41 ff d3");
    ENCODES(emit_jmp(e, true, 0), "eb fe");
    ENCODES(emit_jmp(e, false, 0x105), "e9 00 01 00 00");
    ENCODES(emit_jcc(e, X86_NE, true, 129), "75 7f");
    ENCODES(emit_jcc(e, X86_G, false, 0), "0f 8f fa ff ff ff");
    ENCODES((emit_jcc_forward(e, X86_E), emit_ret(e), emit_land(e, 2)), "74 01 c3");
}

Test(jit_emit, guest_operands_are_caged)
{
    struct x86_mem held = MEM_NONE;
    struct mem_place frame = {MEM(RBP, NO_REG, 0, -8), false}, sum = {MEM(RDI, RCX, 2, 4), false},
                     rdi = {MEM(RDI, NO_REG, 0, 0), false}, half = {MEM(RDI, NO_REG, 0, 0), true},
                     constant = {MEM(NO_REG, NO_REG, 0, 0x10000), false}, looped = sum;
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, frame, -8), "48 8b 45 f0");
    cr_expect_eq(held.base, X86_NO_REG);
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, rdi, 8), "41 89 fb 4b 8b 44 1c 08");
    cr_expect_eq(held.base, X86_RDI);
    ENCODES(mem_load(e, &held, 64, false, X86_RDI, rdi, 8), "4b 8b 7c 1c 08");
    cr_expect_eq(held.base, X86_NO_REG, "what was held is overwritten");
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, half, 8), "49 8b 44 3c 08");
    ENCODES(mem_store(e, &held, 32, sum, -32768, X86_RCX),
            "44 8d 5c 8f 04 43 89 8c 1c 00 80 ff ff");
    ENCODES(mem_load(e, &held, 32, false, X86_RCX, sum, 0), "43 8b 0c 1c");
    cr_expect_eq(held.index, X86_NO_REG, "what was held is overwritten");
    ENCODES(mem_load(e, &held, 8, false, X86_RAX, constant, 1), "41 0f b6 84 24 01 00 01 00");
    looped.may_gs = rdi.may_gs = half.may_gs = true;
    held = MEM_NONE;
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, looped, 4), "65 67 48 8b 44 8f 08");
    ENCODES(mem_store(e, &held, 16, looped, -4, X86_R8), "65 67 66 44 89 04 8f");
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, half, 8), "49 8b 44 3c 08");
    cr_expect_eq(held.base, X86_NO_REG);
    ENCODES(mem_load(e, &held, 64, false, X86_RAX, rdi, 8), "41 89 fb 4b 8b 44 1c 08");
    looped.sum = MEM(NO_REG, RDI, 3, 0x10000);
    ENCODES(mem_store_imm(e, &held, 8, looped, 0, 7), "65 67 c6 04 fd 00 00 01 00 07");
    constant.sum.disp = -16;
    ENCODES(mem_load(e, &held, 32, false, X86_RAX, constant, 8),
            "41 bb f0 ff ff ff 43 8b 44 1c 08");
    ENCODES(mem_atomic_begin(e, 64, X86_RBP, 16), "41 89 eb 41 f6 c3 07");
}

Test(jit_emit, nops_have_every_length)
{
    ENCODES(emit_nops(e, 0), "");
    ENCODES(emit_nops(e, 3), "0f 1f 00");
    ENCODES(emit_nops(e, 4), "0f 1f 40 00");
    ENCODES(emit_nops(e, 5), "0f 1f 44 00 00");
    ENCODES(emit_nops(e, 7), "0f 1f 80 00 00 00 00");
    ENCODES(emit_nops(e, 8), "0f 1f 84 00 00 00 00 00");
    for (size_t bytes = 3; bytes < 64; bytes++) {
        struct emit e;
        struct decoded d;
        emit_init(&e, 64);
        emit_nops(&e, bytes);
        cr_expect_eq(e.count, bytes);
        for (size_t at = 0; at < e.count; at += d.size) {
            cr_assert(decode_one(e.bytes + at, e.count - at, &d), "%zu", bytes);
            cr_expect_eq(d.access, ACCESS_NONE);
            cr_expect_eq(d.result, RESULT_NONE);
        }
        emit_free(&e);
    }
}

Test(jit_emit, emit_errors_are_sticky)
{
    struct emit e;
    emit_init(&e, 4);
    emit_mov(&e, 64, X86_RAX, X86_RDI);
    cr_expect_eq(e.error, VM_ERROR_OK);
    emit_mov(&e, 64, X86_RAX, X86_RDI);
    cr_expect_eq(e.error, VM_ERROR_TOO_LARGE);
    emit_ret(&e);
    cr_expect_eq(e.count, 3, "nothing is appended after an error");
    emit_free(&e);
}

/* ---- executable memory ---------------------------------------------------------------------- */

/* Permissions of the mapping that holds `address`, or "none". */
static void permissions_at(uintptr_t address, char out[5])
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    cr_assert_not_null(maps);
    snprintf(out, 5, "none");
    while (fgets(line, sizeof(line), maps) != NULL) {
        uintptr_t start, end;
        char found[5];
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &start, &end, found) == 3) {
            cr_expect(strncmp(found, "rwx", 3) != 0, "writable and executable: %s", line);
            if (address >= start && address < end) {
                snprintf(out, 5, "%s", found);
            }
        }
    }
    fclose(maps);
}

static void expect_permissions(const uint8_t *address, const char *want)
{
    char got[5];
    permissions_at((uintptr_t)address, got);
    cr_expect_str_eq(got, want, "at %p: %s", (const void *)address, got);
}

Test(jit_emit, text_is_sealed_between_guards)
{
    static const uint8_t text[] = {0xc3};
    static const uint32_t table[] = {1, 2, 3};
    struct code code;
    cr_assert_eq(code_reserve(&code, (uintptr_t)code_reserve, sizeof(table), sizeof(text)),
                 VM_ERROR_OK);
    cr_assert_eq(code_fill(&code, table, text), VM_ERROR_OK);
    const uint8_t *start = code.text;
    cr_expect_eq(code_table_room(sizeof(table)), VM_PAGE_BYTES);
    expect_permissions(start - VM_PAGE_BYTES - 1, "---p");
    expect_permissions(start - VM_PAGE_BYTES, "r--p");
    expect_permissions(start, "r-xp");
    expect_permissions(start + VM_PAGE_BYTES - 1, "r-xp");
    expect_permissions(start + VM_PAGE_BYTES, "---p");
    cr_expect_eq(memcmp(start - VM_PAGE_BYTES, table, sizeof(table)), 0);
    cr_expect_eq(start[0], 0xc3);
    for (size_t i = 1; i < VM_PAGE_BYTES; i++) {
        cr_assert_eq(start[i], 0xcc, "the rest of the last page traps");
    }
    code_unmap(&code);
    cr_expect_null(code.mapping);
}
