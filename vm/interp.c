/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter: direct threaded code, frequent pairs of instructions run as one (pairs.def). It
 * is the oracle that the JIT is tested against and what runs where there is no JIT.
 *
 * tidy: long. The loop is one function because computed gotos need it to be; each instruction is
 * one line.
 *
 * Guest accesses go to `base + (uint32_t)register + offset` and may fault like compiled code's: the
 * loop is alone in section vm_interp_text, by which trap.c knows that a fault is the guest's, and
 * context->insn is stored before each access (both volatile, so in this order). All registers are
 * in memory by then, also between the two of a pair: an access may alias them. Sanitizers are kept
 * out of the loop: their checks would move accesses to other functions.
 *
 * A tick sets context->pending; the loop looks at it on taken jumps and calls, so every endless
 * loop passes a look.
 */
#include <stdlib.h>

#include "vm/alloc.h"
#include "vm/run.h"

#define NOT_SANITIZED no_sanitize("address", "thread", "undefined")
#define INTERP_TEXT   __attribute__((section("vm_interp_text"), noinline, NOT_SANITIZED))
#define INTERP_INLINE __attribute__((always_inline, NOT_SANITIZED)) static inline

/* Hidden: in a shared library too, these are the ends of this library's own section. */
#define INTERP_EDGE extern __attribute__((visibility("hidden"))) const char
INTERP_EDGE vm_interp_text_start[] __asm__("__start_vm_interp_text");
INTERP_EDGE vm_interp_text_end[] __asm__("__stop_vm_interp_text");

typedef uint8_t mem8 __attribute__((may_alias));
typedef uint16_t mem16 __attribute__((may_alias, aligned(1)));
typedef uint32_t mem32 __attribute__((may_alias, aligned(1)));
typedef uint64_t mem64 __attribute__((may_alias, aligned(1)));

/* One instruction as the loop wants it; the number of a cell is that of its instruction. A cell
 * that runs a pair leaves the next one as it is: a jump may lead there. */
struct cell {
    const void *label;
    uint8_t dst;
    uint8_t src;
    int16_t off;
    int32_t
        to; /* jumps, local calls: bytes from this cell to where it goes; helper calls: helper */
    int64_t imm; /* local calls, callx: bytes of the caller's frame */
};

struct vm_code {
    struct cell
        *traced; /* the same instructions, none in a pair, each calling context->trace first */
    struct cell cells[];
};

struct frame {
    const struct cell *back;
    uint64_t saved[5]; /* r6..r10 */
};

/* ---- what instructions compute ---- */

/* Names of isa.def with the operand they have, so that pairs.def needs no exception. */
enum {
    VM_IX_LDDW_IMM = VM_IX_LDDW,
    VM_IX_LDX8_REG = VM_IX_LDX8,
    VM_IX_LDX16_REG = VM_IX_LDX16,
    VM_IX_LDX32_REG = VM_IX_LDX32,
    VM_IX_LDX64_REG = VM_IX_LDX64,
};

/* clang-format off */
#define VALUE(NAME, expr64, expr32)                                                                \
    INTERP_INLINE uint64_t value_##NAME##64(uint64_t a, uint64_t b) { (void)a; return (expr64); }  \
    INTERP_INLINE uint64_t value_of_##NAME##32(uint32_t a, uint32_t b) { (void)a; return (uint32_t)(expr32); } \
    INTERP_INLINE uint64_t value_##NAME##32(uint64_t a, uint64_t b) { return value_of_##NAME##32((uint32_t)a, (uint32_t)b); }
#define CONDITION(NAME, type64, type32, expr)                                                      \
    INTERP_INLINE bool condition_of_##NAME##64(type64 a, type64 b) { return (expr); }              \
    INTERP_INLINE bool condition_of_##NAME##32(type32 a, type32 b) { return (expr); }              \
    INTERP_INLINE bool condition_##NAME##64(uint64_t a, uint64_t b) { return condition_of_##NAME##64((type64)a, (type64)b); } \
    INTERP_INLINE bool condition_##NAME##32(uint64_t a, uint64_t b) { return condition_of_##NAME##32((type32)a, (type32)b); }

/* How an x86 processor divides is not C: these define what C leaves open. */
#define SDIV(type, utype) ((b) == 0 ? (utype)0 : (type)(b) == -1 ? (utype)0 - (utype)(a) : (utype)((type)(a) / (type)(b)))
#define SMOD(type, utype) ((b) == 0 ? (utype)(a) : (type)(b) == -1 ? (utype)0 : (utype)((type)(a) % (type)(b)))

VALUE(ADD, a + b, a + b)
VALUE(SUB, a - b, a - b)
VALUE(MUL, a * b, a * b)
VALUE(OR, a | b, a | b)
VALUE(AND, a & b, a & b)
VALUE(XOR, a ^ b, a ^ b)
VALUE(MOV, b, b)
VALUE(DIV, b != 0 ? a / b : 0, b != 0 ? a / b : 0)
VALUE(MOD, b != 0 ? a % b : a, b != 0 ? a % b : a)
VALUE(SDIV, SDIV(int64_t, uint64_t), SDIV(int32_t, uint32_t))
VALUE(SMOD, SMOD(int64_t, uint64_t), SMOD(int32_t, uint32_t))
VALUE(LSH, a << (b & 63), a << (b & 31))
VALUE(RSH, a >> (b & 63), a >> (b & 31))
VALUE(ARSH, (uint64_t)((int64_t)a >> (b & 63)), (uint32_t)((int32_t)a >> (b & 31)))

CONDITION(JEQ, uint64_t, uint32_t, a == b)
CONDITION(JNE, uint64_t, uint32_t, a != b)
CONDITION(JGT, uint64_t, uint32_t, a > b)
CONDITION(JGE, uint64_t, uint32_t, a >= b)
CONDITION(JLT, uint64_t, uint32_t, a < b)
CONDITION(JLE, uint64_t, uint32_t, a <= b)
CONDITION(JSET, uint64_t, uint32_t, (a & b) != 0)
CONDITION(JSGT, int64_t, int32_t, a > b)
CONDITION(JSGE, int64_t, int32_t, a >= b)
CONDITION(JSLT, int64_t, int32_t, a < b)
CONDITION(JSLE, int64_t, int32_t, a <= b)

/* ---- the loop ---- */

#define DST r[op->dst]
#define SRC r[op->src]
#define OPERAND_IMM ((uint64_t)op->imm)
#define OPERAND_REG SRC
#define GO goto *op->label
#define NEXT do { op++; GO; } while (0)
#define HERE (*(volatile uint32_t *)&context->insn = (uint32_t)(op - cells))
#define POLL                                                                                       \
    do {                                                                                           \
        if (__builtin_expect(atomic_load_explicit(&context->pending, memory_order_relaxed) != 0, 0)) { \
            HERE;                                                                                  \
            vm_yield(context);                                                                     \
        }                                                                                          \
    } while (0)
#define CELL_AT(distance) ((const struct cell *)(const void *)((const char *)op + (distance)))
#define JUMP do { POLL; op = CELL_AT(op->to); GO; } while (0)

#define ROWS(ROW, NAME) ROW(NAME##64, IMM) ROW(NAME##64, REG) ROW(NAME##32, IMM) ROW(NAME##32, REG)
#define ALU(NAME, operand) op_##NAME##_##operand: DST = value_##NAME(DST, OPERAND_##operand); NEXT;
#define JMP(NAME, operand) op_##NAME##_##operand: if (condition_##NAME(DST, OPERAND_##operand)) JUMP; NEXT;

#define AT(bits, reg) ((volatile mem##bits *)(base + (uint32_t)(reg) + op->off))
#define LOAD(bits, reg) ({ HERE; (uint64_t)*AT(bits, reg); })
#define MEM_ROWS(bits)                                                                             \
    op_LDX##bits : DST = LOAD(bits, SRC); NEXT;                                                    \
    op_ST##bits : HERE; *AT(bits, DST) = (uint##bits##_t)op->imm; NEXT;                            \
    op_STX##bits : HERE; *AT(bits, DST) = (uint##bits##_t)SRC; NEXT;
#define LDSX_ROW(bits) op_LDSX##bits : HERE; DST = (uint64_t)(int64_t)(int##bits##_t)*AT(bits, SRC); NEXT;

/* Loads and lddw as the VALUE of their operand. */
#define value_LDX8(unused, address) LOAD(8, address)
#define value_LDX16(unused, address) LOAD(16, address)
#define value_LDX32(unused, address) LOAD(32, address)
#define value_LDX64(unused, address) LOAD(64, address)
#define value_LDDW(unused, imm64) ({ uint64_t value_ = (imm64); op++; value_; })

/* See pairs.def. The first's result is r[] of its dst, which has another name in the second. */
#define PAIR_RESULT(A, a, B, b) { uint64_t v = value_##A(DST, OPERAND_##a); op++; DST = value_##B(v, OPERAND_##b); NEXT; }
#define PAIR_TEST(A, a, B, b) { uint64_t v = value_##A(DST, OPERAND_##a); op++; DST = v; if (condition_##B(v, OPERAND_##b)) JUMP; NEXT; }
#define PAIR_OPERAND(A, a, B, b) { uint64_t v = value_##A(DST, OPERAND_##a); op++; SRC = v; DST = value_##B(DST, v); NEXT; }
#define PAIR_ADDRESS(A, a, B, b) PAIR_OPERAND(A, a, B, b)
#define PAIR_APART(A, a, B, b) { DST = value_##A(DST, OPERAND_##a); op++; uint64_t *dst = &DST; *dst = value_##B(*dst, OPERAND_##b); NEXT; }
#define PAIR_BRANCH(A, a, B, b) { DST = value_##A(DST, OPERAND_##a); op++; if (condition_##B(DST, OPERAND_##b)) JUMP; NEXT; }

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
/* clang-format on */

/* Labels of the loop: of instructions by enum vm_ix, then of tracing, then of pairs by their row.
 */
enum {
    LABEL_TRACE = VM_IX_COUNT,
    LABEL_PAIRS,
};

/* Without a context it only returns its labels, a const void *const *. */
INTERP_TEXT static uint64_t interpret(struct vm_context *context, const struct cell *cells,
                                      uint32_t start)
{
    static const void *const all[] = {
#define ISA(name, ...) [VM_IX_##name] = &&op_##name,
#include "vm/isa.def"
        [LABEL_TRACE] = &&trace,
#define PAIR(kind, A, a, B, b) &&pair_##kind##_##A##_##a##_##B##_##b,
#include "vm/pairs.def"
    };
    if (context == NULL) {
        return (uintptr_t)all;
    }
    const struct vm_program *program = context->run->image->program;
    uint8_t *const base = context->base;
    const struct cell *op = cells + start;
    struct frame frames[VM_CALL_DEPTH_MAX];
    uint32_t depth = 0;
    uint64_t r[11] = {0,
                      context->kept[1],
                      context->kept[2],
                      context->kept[3],
                      context->kept[4],
                      context->kept[5],
                      0,
                      0,
                      0,
                      0,
                      VM_STACK_TOP};
    const struct cell *callee;

    context->regs = r;
    context->regs_known = VM_REGS_ALL;
    GO;

trace:
    context->trace(context->trace_context, (uint32_t)(op - cells), r);
    goto *all[program->ops[op - cells].ix];

    /* clang-format off */
    ROWS(ALU, ADD) ROWS(ALU, SUB) ROWS(ALU, MUL) ROWS(ALU, DIV) ROWS(ALU, MOD) ROWS(ALU, SDIV) ROWS(ALU, SMOD)
    ROWS(ALU, OR) ROWS(ALU, AND) ROWS(ALU, XOR) ROWS(ALU, LSH) ROWS(ALU, RSH) ROWS(ALU, ARSH) ROWS(ALU, MOV)

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

    op_LDDW: op_LDDW_FUNC: DST = OPERAND_IMM; op++; NEXT;

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
    ROWS(JMP, JEQ) ROWS(JMP, JNE) ROWS(JMP, JGT) ROWS(JMP, JGE) ROWS(JMP, JLT) ROWS(JMP, JLE) ROWS(JMP, JSET)
    ROWS(JMP, JSGT) ROWS(JMP, JSGE) ROWS(JMP, JSLT) ROWS(JMP, JSLE)

#define PAIR(kind, A, a, B, b) pair_##kind##_##A##_##a##_##B##_##b: PAIR_##kind(A, a, B, b)
#include "vm/pairs.def"
        /* clang-format on */

        op_CALL : HERE;
    r[0] = vm_helper_call(r[1], r[2], r[3], r[4], r[5], context, (uint32_t)op->to);
    r[1] = r[2] = r[3] = r[4] = r[5] = 0;
    POLL;
    NEXT;

op_CALL_LOCAL:
    callee = CELL_AT(op->to);
    goto call;

op_CALLX : {
    uint32_t at = (uint32_t)DST - VM_CODE_BASE;

    HERE;
    if (at % 8 != 0 || at / 8 >= program->insn_count ||
        program->functions[program->function_index[at / 8]].start != at / 8) {
        vm_fault_raise(context, VM_FAULT_CALLX, (uint32_t)DST);
    }
    callee = cells + at / 8;
}
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
    r[10] -= (uint64_t)op->imm;
    op = callee;
    GO;

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

/* ---- making cells ---- */

enum pair_kind {
    PAIR_KIND_RESULT,
    PAIR_KIND_TEST,
    PAIR_KIND_OPERAND,
    PAIR_KIND_ADDRESS,
    PAIR_KIND_APART,
    PAIR_KIND_BRANCH,
};

static const struct pair {
    uint8_t first; /* enum vm_ix */
    uint8_t second;
    uint8_t kind;
} pairs[] = {
#define PAIR(kind, A, a, B, b) {VM_IX_##A##_##a, VM_IX_##B##_##b, PAIR_KIND_##kind},
#include "vm/pairs.def"
};

#define PAIR_COUNT (sizeof pairs / sizeof pairs[0])

static bool fits(const struct pair *pair, const struct vm_op *first, const struct vm_op *second)
{
    if (pair->first != first->ix || pair->second != second->ix) {
        return false;
    }
    switch ((enum pair_kind)pair->kind) {
    case PAIR_KIND_RESULT:
        return second->dst == first->dst &&
               (vm_isa[second->ix].source != VM_SOURCE_REG || second->src != first->dst);
    case PAIR_KIND_TEST: return second->dst == first->dst;
    case PAIR_KIND_OPERAND:
    case PAIR_KIND_ADDRESS: return second->src == first->dst;
    case PAIR_KIND_APART:
    case PAIR_KIND_BRANCH: return true;
    }
    return false;
}

struct maker {
    const struct vm_program *program;
    const void *const *labels;
    uint8_t head[VM_IX_COUNT]; /* the rows that begin with an instruction, as a chain of their */
    uint8_t next[PAIR_COUNT];  /* numbers plus one */
};
_Static_assert(PAIR_COUNT < UINT8_MAX, "a row's number plus one fits in a byte");

static void index_pairs(struct maker *m)
{
    for (size_t i = PAIR_COUNT; i-- > 0;) {
        m->next[i] = m->head[pairs[i].first];
        m->head[pairs[i].first] = (uint8_t)(i + 1);
    }
}

/* The label of an instruction, or of it and the next one together. */
static const void *label_of(const struct maker *m, uint32_t insn, uint32_t next)
{
    const struct vm_op *op = &m->program->ops[insn];

    if (next < m->program->insn_count) {
        for (unsigned row = m->head[op->ix]; row != 0; row = m->next[row - 1]) {
            if (fits(&pairs[row - 1], op, &m->program->ops[next])) {
                return m->labels[LABEL_PAIRS + row - 1];
            }
        }
    }
    return m->labels[op->ix];
}

/* All of a cell but its label. */
static struct cell cell_of(const struct vm_program *program, uint32_t insn)
{
    const struct vm_op *op = &program->ops[insn];
    struct cell cell = {.dst = op->dst, .src = op->src, .off = op->off, .imm = op->imm};
    uint8_t group = vm_isa[op->ix].group;

    if (op->ix == VM_IX_CALL) {
        cell.to = (int32_t)op->target;
    } else if (group == VM_GROUP_JMP || group == VM_GROUP_JA || op->ix == VM_IX_CALL_LOCAL) {
        cell.to = ((int32_t)op->target - (int32_t)insn) * (int32_t)sizeof cell;
    }
    if (op->ix == VM_IX_CALL_LOCAL || op->ix == VM_IX_CALLX) {
        cell.imm = program->functions[program->function_index[insn]].frame_bytes;
    }
    return cell;
}
_Static_assert(VM_INSN_COUNT_MAX * sizeof(struct cell) <= INT32_MAX, "distances fit");

static void fill(struct vm_code *code, const struct vm_program *program)
{
    struct maker m = {.program = program,
                      .labels = (const void *const *)(uintptr_t)interpret(NULL, NULL, 0)};

    index_pairs(&m);
    for (uint32_t i = 0; i < program->insn_count;) {
        uint32_t next = i + (vm_isa[program->ops[i].ix].group == VM_GROUP_LDDW ? 2 : 1);

        code->traced[i] = cell_of(program, i);
        code->traced[i].label = m.labels[LABEL_TRACE];
        code->cells[i] = code->traced[i];
        code->cells[i].label = label_of(&m, i, next);
        i = next;
    }
}

/* ---- the engine ---- */

static struct vm_code *interp_prepare(const struct vm_program *program, struct vm_diag *diag)
{
    size_t bytes = program->insn_count * sizeof(struct cell);
    struct vm_code *code = vm_allocate_zero(1, sizeof *code + 2 * bytes);

    if (code == NULL) {
        (void)vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
        return NULL;
    }
    code->traced = code->cells + program->insn_count;
    fill(code, program);
    return code;
}

static uint64_t interp_enter(void *context_, uintptr_t insn)
{
    struct vm_context *context = context_;
    const struct vm_code *code = context->run->image->code;

    return interpret(context, context->trace != NULL ? code->traced : code->cells, (uint32_t)insn);
}

static uintptr_t interp_place(const struct vm_code *code, uint32_t insn)
{
    (void)code;
    return insn;
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
    vm_release(code);
}

const struct vm_engine vm_interp = {
    .name = "interp",
    .prepare = interp_prepare,
    .enter = interp_enter,
    .place = interp_place,
    .preemptible = interp_preemptible,
    .guest_text = interp_guest_text,
    .insn_at = interp_insn_at,
    .release = interp_release,
};
