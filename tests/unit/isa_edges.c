/* SPDX-License-Identifier: Apache-2.0 */
/* Every arithmetic, byte-order and jump row on every engine, over all pairs of edge operands,
 * against a model written from RFC 9669 alone: by way of 128-bit integers and bit loops, not the
 * way engines compute. Each row runs with operands the engine cannot know before, with operands it
 * can (so that folding is tested), with both operands in one register, and with every pair of
 * registers, where the other registers must keep their values. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <string.h>

#include "tests/support/code.h"
#include "tests/support/machine.h"
#include "vm/limits.h"

/* clang-format off */
enum op {
    OP_ADD, OP_SUB, OP_MUL, OP_OR, OP_AND, OP_XOR, OP_LSH, OP_RSH, OP_ARSH, OP_DIV, OP_SDIV,
    OP_MOD, OP_SMOD, OP_NEG, OP_MOV, OP_MOVSX8, OP_MOVSX16, OP_MOVSX32, OP_LE, OP_BE, OP_BSWAP,
    OP_JEQ, OP_JNE, OP_JGT, OP_JGE, OP_JLT, OP_JLE, OP_JSET, OP_JSGT, OP_JSGE, OP_JSLT, OP_JSLE,
    /* not tested here */
    OP_IMM64, OP_FUNC, OP_LOAD, OP_LOADS, OP_STORE, OP_AADD, OP_AFADD, OP_AOR, OP_AFOR, OP_AAND,
    OP_AFAND, OP_AXOR, OP_AFXOR, OP_AXCHG, OP_ACMPXCHG, OP_JA, OP_HELPER, OP_LOCAL, OP_CALLX,
    OP_EXIT,
};
static const enum op op_of[VM_IX_COUNT] = {
#define ISA(name, code, sub, group, op, ...) [VM_IX_##name] = OP_##op,
#include "vm/isa.def"
};

static const uint64_t edges[] = {
    0, 1, 2, 7, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000,
    0xfffffff9, 0xffffffff, 0x100000000, 0x0123456789abcdef, 0x7fffffffffffffff,
    0x8000000000000000, 0xffffffff00000000, 0xffffffff80000000, 0xfffffffffffffff9,
    0xffffffffffffffff,
};
static const int32_t immediates[] = {
    0, 1, 2, 3, 5, 7, 8, 10, 16, 31, 32, 33, 63, 64, 100, 127, 128, 255, 256, 641, 1000, 65535,
    0x40000000, INT32_MAX, INT32_MIN, INT32_MIN + 1, -1, -2, -3, -7, -8, -16, -100, -127, -128,
    -129, -65536,
};
/* clang-format on */
enum { EDGES = sizeof edges / sizeof *edges, IMMEDIATES = sizeof immediates / sizeof *immediates };

/* ---- the model */

typedef __int128 wide;

static uint64_t cut(wide value, unsigned bits)
{
    return bits == 64 ? (uint64_t)value : (uint64_t)value & ((1ull << bits) - 1);
}

static wide as_signed(uint64_t value, unsigned bits)
{
    wide v = cut(value, bits);
    return v >> (bits - 1) ? v - ((wide)1 << bits) : v;
}

/* Division in 128 bits cannot overflow; C's rounds to zero, as the RFC wants. */
static wide divide(wide a, wide b)
{
    return b == 0 ? 0 : a / b;
}

static uint64_t swap_bytes(uint64_t value, unsigned bits)
{
    uint64_t out = 0;
    for (unsigned i = 0; i < bits; i += 8)
        out |= (value >> i & 0xff) << (bits - 8 - i);
    return out;
}

/* dst after `op` of `bits`, from the values of dst and of the source. */
static uint64_t model_value(enum op op, unsigned bits, uint64_t dst, uint64_t src)
{
    wide a = cut(dst, bits), b = cut(src, bits);
    wide sa = as_signed(dst, bits), sb = as_signed(src, bits);
    unsigned count = (unsigned)(src % bits);
    switch (op) {
    case OP_ADD: return cut(a + b, bits);
    case OP_SUB: return cut(a - b, bits);
    case OP_MUL: return cut((wide)((unsigned __int128)a * (unsigned __int128)b), bits);
    case OP_OR: return cut(a | b, bits);
    case OP_AND: return cut(a & b, bits);
    case OP_XOR: return cut(a ^ b, bits);
    case OP_LSH: return cut(a << count, bits);
    case OP_RSH: return cut(a >> count, bits);
    case OP_ARSH: return cut(sa >> count, bits);
    case OP_DIV: return cut(divide(a, b), bits);
    case OP_SDIV: return cut(divide(sa, sb), bits);
    case OP_MOD: return cut(a - b * divide(a, b), bits);
    case OP_SMOD: return cut(sa - sb * divide(sa, sb), bits);
    case OP_NEG: return cut(-a, bits);
    case OP_MOV: return cut(b, bits);
    case OP_MOVSX8: return cut(as_signed(src, 8), bits);
    case OP_MOVSX16: return cut(as_signed(src, 16), bits);
    case OP_MOVSX32: return cut(as_signed(src, 32), bits);
    case OP_LE: return cut(dst, bits);
    case OP_BE:
    case OP_BSWAP: return swap_bytes(dst, bits);
    default: cr_assert_fail("not a value");
    }
    return 0;
}

static bool model_jump(enum op op, unsigned bits, uint64_t dst, uint64_t src)
{
    wide a = cut(dst, bits), b = cut(src, bits);
    wide sa = as_signed(dst, bits), sb = as_signed(src, bits);
    switch (op) {
    case OP_JEQ: return a == b;
    case OP_JNE: return a != b;
    case OP_JGT: return a > b;
    case OP_JGE: return a >= b;
    case OP_JLT: return a < b;
    case OP_JLE: return a <= b;
    case OP_JSET: return (a & b) != 0;
    case OP_JSGT: return sa > sb;
    case OP_JSGE: return sa >= sb;
    case OP_JSLT: return sa < sb;
    case OP_JSLE: return sa <= sb;
    default: cr_assert_fail("not a jump");
    }
    return false;
}

/* r0 of the programs below. */
static uint64_t model(enum vm_ix ix, uint64_t a, uint64_t b)
{
    const struct vm_isa_row *row = &vm_isa[ix];
    return row->group == VM_GROUP_JMP ? model_jump(op_of[ix], row->width, a, b)
                                      : model_value(op_of[ix], row->width, a, b);
}

/* ---- programs */

static bool tested(enum vm_ix ix)
{
    return vm_isa[ix].group == VM_GROUP_ALU || vm_isa[ix].group == VM_GROUP_END ||
           vm_isa[ix].group == VM_GROUP_JMP;
}

/* `row dst, src`: the value is left in dst; a jump leaves 1 or 0 there instead. */
static void emit_row(struct t_code *code, enum vm_ix ix, unsigned dst, unsigned src, int64_t imm)
{
    t_emit(code, ix, dst, src, 2, imm);
    if (vm_isa[ix].group != VM_GROUP_JMP)
        return;
    t_emit(code, VM_IX_MOV64_IMM, dst, 0, 0, 0);
    t_emit(code, VM_IX_JA, 0, 0, 1, 0);
    t_emit(code, VM_IX_MOV64_IMM, dst, 0, 0, 1);
}

static struct vm_image *make_image(const struct vm_engine *engine, const struct t_code *code,
                                   struct vm_program **program)
{
    struct vm_diag diag;
    *program = t_program(code->insns, code->count, &diag);
    cr_assert(*program, "%s", diag.text);
    struct vm_image *image = vm_image_create(engine, *program, &diag);
    cr_assert(image, "%s", diag.text);
    return image;
}

static void drop_image(struct vm_image *image, struct vm_program *program)
{
    vm_thread_forget(t_thread(), image);
    vm_image_free(image);
    vm_program_free(program);
}

static void expect(const struct vm_image *image, const struct vm_engine *engine, enum vm_ix ix,
                   uint64_t a, uint64_t b)
{
    static struct t_outcome outcome;
    struct t_input input = {.arg = {a, b}};
    t_run(image, &input, &outcome);
    uint64_t want = model(ix, a, b);
    if (outcome.state != VM_STATE_DONE || outcome.r0 != want)
        cr_expect(false,
                  "%s: %s (0x%02x) of 0x%" PRIx64 ", 0x%" PRIx64 ": 0x%" PRIx64 ", want 0x%" PRIx64,
                  vm_engine_name(engine), vm_isa[ix].mnemonic, vm_isa[ix].code, a, b, outcome.r0,
                  want);
}

/* Operands come in r1 and r2: one program, all pairs. */
static void check_unknown(const struct vm_engine *engine, enum vm_ix ix, int64_t imm, bool by_imm)
{
    struct t_code code = {.count = 0};
    struct vm_program *program;
    t_emit(&code, VM_IX_MOV64_REG, 0, 1, 0, 0);
    emit_row(&code, ix, 0, 2, imm);
    t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
    struct vm_image *image = make_image(engine, &code, &program);
    for (int i = 0; i < EDGES; i++)
        for (int j = 0; j < (by_imm ? 1 : EDGES); j++)
            expect(image, engine, ix, edges[i], by_imm ? (uint64_t)imm : edges[j]);
    drop_image(image, program);
}

/* Operands are constants of the program. */
static void check_known(const struct vm_engine *engine, enum vm_ix ix, uint64_t a, uint64_t b,
                        bool by_imm)
{
    struct t_code code = {.count = 0};
    struct vm_program *program;
    t_emit_lddw(&code, 0, a);
    if (!by_imm)
        t_emit_lddw(&code, 2, b);
    emit_row(&code, ix, 0, 2, (int64_t)b);
    t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
    struct vm_image *image = make_image(engine, &code, &program);
    expect(image, engine, ix, a, b);
    drop_image(image, program);
}

static void check_same_register(const struct vm_engine *engine, enum vm_ix ix)
{
    struct t_code code = {.count = 0};
    struct vm_program *program;
    emit_row(&code, ix, 1, 1, 0);
    t_emit(&code, VM_IX_MOV64_REG, 0, 1, 0, 0);
    t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
    struct vm_image *image = make_image(engine, &code, &program);
    for (int i = 0; i < EDGES; i++)
        expect(image, engine, ix, edges[i], edges[i]);
    drop_image(image, program);
}

static void check_row(const struct vm_engine *engine, enum vm_ix ix)
{
    if (vm_isa[ix].source == VM_SOURCE_IMM) {
        for (int i = 0; i < IMMEDIATES; i++) {
            check_unknown(engine, ix, immediates[i], true);
            for (int j = 0; j < EDGES; j += 3)
                check_known(engine, ix, edges[j], (uint64_t)(int64_t)immediates[i], true);
        }
        return;
    }
    check_unknown(engine, ix, 0, false);
    if (vm_isa[ix].source == VM_SOURCE_REG)
        check_same_register(engine, ix);
    for (int i = 0; i < EDGES; i += 2)
        for (int j = 0; j < EDGES; j += 2)
            check_known(engine, ix, edges[i], edges[j], false);
}

static void check_group(enum vm_group group)
{
    for (int e = 0; e < T_ENGINE_COUNT; e++)
        for (int ix = 0; ix < VM_IX_COUNT; ix++)
            if (vm_isa[ix].group == group)
                check_row(t_engines[e], ix);
    t_thread_end();
}

Test(isa_edges, arithmetic)
{
    check_group(VM_GROUP_ALU);
}

Test(isa_edges, byte_order)
{
    check_group(VM_GROUP_END);
}

Test(isa_edges, jumps)
{
    check_group(VM_GROUP_JMP);
}

/* ---- every pair of registers */

static uint64_t canary(unsigned reg)
{
    return 0x1111111111111111u * reg ^ 0x8000000080000000u;
}

/* Operands are loaded from guest memory at HEAP and HEAP + 8; the registers go to HEAP + 16. */
static void emit_pair(struct t_code *code, enum vm_ix ix, unsigned dst, unsigned src)
{
    for (unsigned r = 0; r < 10; r++)
        t_emit_lddw(code, r, r == dst || r == src ? VM_HEAP_BASE : canary(r));
    if (src != dst && vm_isa[ix].source == VM_SOURCE_REG)
        t_emit(code, VM_IX_LDX64, src, src, 8, 0);
    t_emit(code, VM_IX_LDX64, dst, dst, 0, 0);
    emit_row(code, ix, dst, src, 13);
    t_emit_report(code, VM_HEAP_BASE + 16);
}

static void check_pair(const struct vm_engine *engine, enum vm_ix ix, unsigned dst, unsigned src)
{
    static const uint64_t operands[][2] = {
        {0x8123456789abcdef, 0x00000000fffffff3}, {5, 0}, {UINT64_MAX << 63, UINT64_MAX}};
    static struct t_outcome outcome;
    struct t_code code = {.count = 0};
    struct vm_program *program;
    bool by_imm = vm_isa[ix].source == VM_SOURCE_IMM;
    emit_pair(&code, ix, dst, src);
    struct vm_image *image = make_image(engine, &code, &program);
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
        uint64_t memory[12] = {operands[i][0], operands[i][1]};
        struct t_input input = {.memory = (uint8_t *)memory, .memory_bytes = sizeof memory};
        t_run(image, &input, &outcome);
        cr_assert_eq(outcome.state, VM_STATE_DONE);
        memcpy(memory, outcome.memory, sizeof memory);
        uint64_t b = by_imm ? 13 : dst == src ? memory[0] : memory[1];
        for (unsigned r = 0; r < 10; r++) {
            uint64_t want = r == dst                             ? model(ix, memory[0], b)
                            : r != src                           ? canary(r)
                            : vm_isa[ix].source == VM_SOURCE_REG ? memory[1]
                                                                 : VM_HEAP_BASE;
            if (memory[2 + r] != want)
                cr_expect(false, "%s: %s (0x%02x) r%u, r%u: r%u is 0x%" PRIx64 ", want 0x%" PRIx64,
                          vm_engine_name(engine), vm_isa[ix].mnemonic, vm_isa[ix].code, dst, src, r,
                          memory[2 + r], want);
        }
    }
    drop_image(image, program);
}

Test(isa_edges, every_pair_of_registers)
{
    for (int e = 0; e < T_ENGINE_COUNT; e++)
        for (int ix = 0; ix < VM_IX_COUNT; ix++) {
            if (!tested(ix))
                continue;
            unsigned sources = vm_isa[ix].source == VM_SOURCE_REG ? 10 : 1;
            for (unsigned dst = 0; dst < 10; dst++)
                for (unsigned src = 0; src < sources; src++)
                    check_pair(t_engines[e], ix, dst, sources == 1 ? dst : src);
        }
    t_thread_end();
}

/* ---- unused fields */

/* A field that the row does not have must be zero: each alone, and each row. */
Test(isa_edges, unused_fields_are_refused)
{
    for (int ix = 0; ix < VM_IX_COUNT; ix++) {
        for (int field = F_DST; field <= F_IMM; field <<= 1) {
            struct t_code code = {.count = 0};
            struct vm_diag diag;
            if (vm_isa[ix].fields & field ||
                (field == F_SRC && vm_isa[ix].group == VM_GROUP_CALL) ||
                (field == F_SRC && vm_isa[ix].group == VM_GROUP_LDDW) ||
                (field == F_OFF && vm_isa[ix].source == VM_SOURCE_REG &&
                 vm_isa[ix].group == VM_GROUP_ALU))
                continue; /* there it chooses another row, or none */
            t_emit(&code, ix, 0, 0, 0, 0);
            struct vm_insn *insn = &code.insns[0];
            insn->dst = field == F_DST ? 1 : insn->dst;
            insn->src = field == F_SRC ? 1 : insn->src;
            insn->off = field == F_OFF ? 3 : insn->off;
            insn->imm = field == F_IMM ? 1 : insn->imm;
            t_emit(&code, VM_IX_EXIT, 0, 0, 0, 0);
            struct vm_program *program = t_program(code.insns, code.count, &diag);
            cr_expect_null(program, "%s (0x%02x) with field %d", vm_isa[ix].mnemonic,
                           vm_isa[ix].code, field);
            if (!program)
                cr_expect(diag.error == VM_ERROR_BAD_FIELD || diag.error == VM_ERROR_BAD_OPCODE,
                          "%s: %s", vm_isa[ix].mnemonic, diag.text);
            vm_program_free(program);
        }
    }
}
