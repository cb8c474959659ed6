/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: threaded dispatch over decoded ops. It is the oracle that the JIT is tested against and what runs where there is no JIT.
 *
 * tidy: long. The loop is one function because computed gotos need it to be; each instruction is one line.
 *
 * Guest accesses go to `base + (uint32_t)register + offset` and may fault like compiled code's: the loop is alone in section vm_interp_text, by which trap.c knows
 * that a fault is the guest's, and context->insn is stored before each access (both volatile, so in this order). Sanitizers are kept out of it: their
 * checks would move accesses to other functions.
 *
 * A tick sets context->pending; the loop looks at it on taken jumps and calls, so every endless loop passes a look.
 */
#include "vm/engine.h"

#define INTERP_TEXT                                                                                \
    __attribute__((section("vm_interp_text"), noinline, no_sanitize("address", "thread", "undefined")))

/* Hidden: in a shared library too, these are the ends of this library's own section. */
#define INTERP_EDGE extern __attribute__((visibility("hidden"))) const char
INTERP_EDGE vm_interp_text_start[] __asm__("__start_vm_interp_text");
INTERP_EDGE vm_interp_text_end[] __asm__("__stop_vm_interp_text");

typedef uint8_t mem8 __attribute__((may_alias));
typedef uint16_t mem16 __attribute__((may_alias, aligned(1)));
typedef uint32_t mem32 __attribute__((may_alias, aligned(1)));
typedef uint64_t mem64 __attribute__((may_alias, aligned(1)));

struct frame {
    const struct vm_op *back;
    uint64_t saved[5]; /* r6..r10 */
};

/* How an x86 processor divides is not C: these define what C leaves open. */
#define SDIV(type, utype, a, b)                                                                    \
    ((b) == 0 ? (utype)0 : (type)(b) == -1 ? (utype)0 - (utype)(a) : (utype)((type)(a) / (type)(b)))
#define SMOD(type, utype, a, b)                                                                    \
    ((b) == 0 ? (utype)(a) : (type)(b) == -1 ? (utype)0 : (utype)((type)(a) % (type)(b)))

#define DST r[op->dst]
#define SRC r[op->src]
#define IMM ((uint64_t)op->imm)
#define NEXT                                                                                       \
    do {                                                                                           \
        op++;                                                                                      \
        goto *dispatch[op->ix];                                                                    \
    } while (0)
#define HERE (*(volatile uint32_t *)&context->insn = (uint32_t)(op - ops))
#define POLL                                                                                       \
    do {                                                                                           \
        if (__builtin_expect(                                                                      \
                atomic_load_explicit(&context->pending, memory_order_relaxed) != 0, 0)) {          \
            HERE;                                                                                  \
            vm_yield(context);                                                                     \
        }                                                                                          \
    } while (0)
#define JUMP                                                                                       \
    do {                                                                                           \
        POLL;                                                                                      \
        op = ops + op->target - 1;                                                                 \
        NEXT;                                                                                      \
    } while (0)

#define ALU_ROWS(NAME, expr64, expr32)                                                             \
    op_##NAME##64_IMM : { uint64_t a = DST, b = IMM; (void)a; DST = (expr64); NEXT; }              \
    op_##NAME##64_REG : { uint64_t a = DST, b = SRC; (void)a; DST = (expr64); NEXT; }              \
    op_##NAME##32_IMM : { uint32_t a = (uint32_t)DST, b = (uint32_t)IMM; (void)a; DST = (uint32_t)(expr32); NEXT; } \
    op_##NAME##32_REG : { uint32_t a = (uint32_t)DST, b = (uint32_t)SRC; (void)a; DST = (uint32_t)(expr32); NEXT; }
#define ALU(NAME, expr) ALU_ROWS(NAME, expr, expr)

#define JMP_ROWS(NAME, expr)                                                                       \
    op_##NAME##64_IMM : { uint64_t a = DST, b = IMM; int64_t sa = (int64_t)a, sb = (int64_t)b; (void)sa; (void)sb; (void)a; (void)b; if (expr) JUMP; NEXT; } \
    op_##NAME##64_REG : { uint64_t a = DST, b = SRC; int64_t sa = (int64_t)a, sb = (int64_t)b; (void)sa; (void)sb; (void)a; (void)b; if (expr) JUMP; NEXT; } \
    op_##NAME##32_IMM : { uint32_t a = (uint32_t)DST, b = (uint32_t)IMM; int32_t sa = (int32_t)a, sb = (int32_t)b; (void)sa; (void)sb; (void)a; (void)b; if (expr) JUMP; NEXT; } \
    op_##NAME##32_REG : { uint32_t a = (uint32_t)DST, b = (uint32_t)SRC; int32_t sa = (int32_t)a, sb = (int32_t)b; (void)sa; (void)sb; (void)a; (void)b; if (expr) JUMP; NEXT; }

#define AT(bits, reg) ((volatile mem##bits *)(base + (uint32_t)(reg) + op->off))
#define MEM_ROWS(bits)                                                                             \
    op_LDX##bits : HERE; DST = *AT(bits, SRC); NEXT;                                               \
    op_ST##bits : HERE; *AT(bits, DST) = (uint##bits##_t)op->imm; NEXT;                            \
    op_STX##bits : HERE; *AT(bits, DST) = (uint##bits##_t)SRC; NEXT;
#define LDSX_ROW(bits) op_LDSX##bits : HERE; DST = (uint64_t)(int64_t)(int##bits##_t)*AT(bits, SRC); NEXT;

#define ATOMIC_BEGIN(bits)                                                                         \
    uint32_t at = (uint32_t)DST + (uint32_t)op->off;                                               \
    uint##bits##_t *p = (uint##bits##_t *)(void *)(base + (uint32_t)DST + op->off);                \
    HERE;                                                                                          \
    if (at % (bits / 8) != 0)                                                                      \
        vm_fault_raise(context, VM_FAULT_MISALIGNED, at);
#define ATOMIC_ROWS(NAME, fn)                                                                      \
    op_A##NAME##64 : { ATOMIC_BEGIN(64) fn(p, SRC, __ATOMIC_SEQ_CST); NEXT; }                      \
    op_A##NAME##32 : { ATOMIC_BEGIN(32) fn(p, (uint32_t)SRC, __ATOMIC_SEQ_CST); NEXT; }            \
    op_AF##NAME##64 : { ATOMIC_BEGIN(64) SRC = fn(p, SRC, __ATOMIC_SEQ_CST); NEXT; }               \
    op_AF##NAME##32 : { ATOMIC_BEGIN(32) SRC = fn(p, (uint32_t)SRC, __ATOMIC_SEQ_CST); NEXT; }
#define XCHG_ROWS(bits)                                                                            \
    op_AXCHG##bits : { ATOMIC_BEGIN(bits) SRC = __atomic_exchange_n(p, (uint##bits##_t)SRC, __ATOMIC_SEQ_CST); NEXT; } \
    op_ACMPXCHG##bits : { ATOMIC_BEGIN(bits) uint##bits##_t old = (uint##bits##_t)r[0];            \
        __atomic_compare_exchange_n(p, &old, (uint##bits##_t)SRC, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); r[0] = old; NEXT; }

INTERP_TEXT static uint64_t interpret(struct vm_context *context, uint32_t start)
{
    static const void *const labels[VM_IX_COUNT] = {
#define ISA(name, ...) [VM_IX_##name] = &&op_##name,
#include "vm/isa.def"
    };
    static const void *const traced[VM_IX_COUNT] = {
#define ISA(name, ...) [VM_IX_##name] = &&trace,
#include "vm/isa.def"
    };
    const void *const *const dispatch = context->trace != NULL ? traced : labels;
    const struct vm_program *program = context->program;
    const struct vm_op *const ops = program->ops;
    uint8_t *const base = context->base;
    const struct vm_op *op = ops + start - 1;
    struct frame frames[VM_CALL_DEPTH_MAX];
    uint32_t depth = 0;
    uint64_t r[11] = {0, context->args[0], context->args[1], context->args[2], context->args[3],
                      context->args[4], 0, 0, 0, 0, VM_STACK_TOP};
    uint32_t callee;

    context->regs = r;
    context->regs_known = VM_REGS_ALL;
    NEXT;

trace:
    context->trace(context->trace_context, (uint32_t)(op - ops), r);
    goto *labels[op->ix];

    /* clang-format off */
    ALU(ADD, a + b)
    ALU(SUB, a - b)
    ALU(MUL, a * b)
    ALU(OR, a | b)
    ALU(AND, a & b)
    ALU(XOR, a ^ b)
    ALU(MOV, b)
    ALU(DIV, b != 0 ? a / b : 0)
    ALU(MOD, b != 0 ? a % b : a)
    ALU_ROWS(SDIV, SDIV(int64_t, uint64_t, a, b), SDIV(int32_t, uint32_t, a, b))
    ALU_ROWS(SMOD, SMOD(int64_t, uint64_t, a, b), SMOD(int32_t, uint32_t, a, b))
    ALU_ROWS(LSH, a << (b & 63), a << (b & 31))
    ALU_ROWS(RSH, a >> (b & 63), a >> (b & 31))
    ALU_ROWS(ARSH, (uint64_t)((int64_t)a >> (b & 63)), (uint32_t)((int32_t)a >> (b & 31)))

    op_NEG64: DST = 0 - DST; NEXT;
    op_NEG32: DST = (uint32_t)(0 - (uint32_t)DST); NEXT;
    op_MOVSX8_64: DST = (uint64_t)(int64_t)(int8_t)SRC; NEXT;
    op_MOVSX16_64: DST = (uint64_t)(int64_t)(int16_t)SRC; NEXT;
    op_MOVSX32_64: DST = (uint64_t)(int64_t)(int32_t)SRC; NEXT;
    op_MOVSX8_32: DST = (uint32_t)(int32_t)(int8_t)SRC; NEXT;
    op_MOVSX16_32: DST = (uint32_t)(int32_t)(int16_t)SRC; NEXT;

    op_LE16: DST = (uint16_t)DST; NEXT; /* the host is little endian */
    op_LE32: DST = (uint32_t)DST; NEXT;
    op_LE64: NEXT;
    op_BE16: op_BSWAP16: DST = __builtin_bswap16((uint16_t)DST); NEXT;
    op_BE32: op_BSWAP32: DST = __builtin_bswap32((uint32_t)DST); NEXT;
    op_BE64: op_BSWAP64: DST = __builtin_bswap64(DST); NEXT;

    op_LDDW: op_LDDW_FUNC: DST = IMM; op++; NEXT;

    MEM_ROWS(8)
    MEM_ROWS(16)
    MEM_ROWS(32)
    MEM_ROWS(64)
    LDSX_ROW(8)
    LDSX_ROW(16)
    LDSX_ROW(32)

    ATOMIC_ROWS(ADD, __atomic_fetch_add)
    ATOMIC_ROWS(OR, __atomic_fetch_or)
    ATOMIC_ROWS(AND, __atomic_fetch_and)
    ATOMIC_ROWS(XOR, __atomic_fetch_xor)
    XCHG_ROWS(64)
    XCHG_ROWS(32)

    op_JA: op_JA32: JUMP;
    JMP_ROWS(JEQ, a == b)
    JMP_ROWS(JNE, a != b)
    JMP_ROWS(JGT, a > b)
    JMP_ROWS(JGE, a >= b)
    JMP_ROWS(JLT, a < b)
    JMP_ROWS(JLE, a <= b)
    JMP_ROWS(JSET, (a & b) != 0)
    JMP_ROWS(JSGT, sa > sb)
    JMP_ROWS(JSGE, sa >= sb)
    JMP_ROWS(JSLT, sa < sb)
    JMP_ROWS(JSLE, sa <= sb)
    /* clang-format on */

op_CALL:
    HERE;
    r[0] = vm_helper_call(r[1], r[2], r[3], r[4], r[5], context, op->target);
    r[1] = r[2] = r[3] = r[4] = r[5] = 0;
    POLL;
    NEXT;

op_CALL_LOCAL:
    callee = op->target;
    goto call;

op_CALLX:
    callee = (uint32_t)DST - VM_CODE_BASE;
    HERE;
    if (callee % 8 != 0 || callee / 8 >= program->insn_count ||
        program->functions[program->function_index[callee / 8]].start != callee / 8) {
        vm_fault_raise(context, VM_FAULT_CALLX, (uint32_t)DST);
    }
    callee /= 8;
call:
    HERE;
    POLL;
    if (context->depth_left == 0) {
        vm_fault_raise(context, VM_FAULT_CALL_DEPTH, 0);
    }
    context->depth_left--;
    frames[depth].back = op;
    for (int i = 0; i < 5; i++) {
        frames[depth].saved[i] = r[6 + i];
    }
    depth++;
    r[10] -= program->functions[program->function_index[op - ops]].frame_bytes;
    op = ops + callee - 1;
    NEXT;

op_EXIT:
    if (depth == 0) {
        return r[0];
    }
    depth--;
    context->depth_left++;
    op = frames[depth].back;
    for (int i = 0; i < 5; i++) {
        r[6 + i] = frames[depth].saved[i];
    }
    NEXT;
}

/* ---- the engine ---- */

/* A program is ready as it is: its ops are what the loop runs. */
static struct vm_code *interp_prepare(const struct vm_program *program, struct vm_diag *diag)
{
    (void)diag;
    return (struct vm_code *)(void *)program->ops;
}

static uint64_t interp_enter(const struct vm_code *code, struct vm_context *context, uint32_t insn)
{
    (void)code;
    return interpret(context, insn);
}

static void interp_preemptible(const struct vm_code *code, uintptr_t *start, uintptr_t *end)
{
    (void)code;
    *start = 0;
    *end = 0;
}

static void interp_guest_text(uintptr_t *start, uintptr_t *end)
{
    *start = (uintptr_t)vm_interp_text_start;
    *end = (uintptr_t)vm_interp_text_end;
}

static uint32_t interp_insn_at(const struct vm_code *code, uintptr_t pc)
{
    (void)code;
    (void)pc;
    return VM_NO_INSN;
}

static void interp_release(struct vm_code *code)
{
    (void)code;
}

const struct vm_engine vm_interp = {
    .name = "interp",
    .prepare = interp_prepare,
    .enter = interp_enter,
    .preemptible = interp_preemptible,
    .guest_text = interp_guest_text,
    .insn_at = interp_insn_at,
    .release = interp_release,
};
