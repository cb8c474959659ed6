/* SPDX-License-Identifier: Apache-2.0 */
/* Backward liveness over the whole program, and what functions change; see analyse.h.
 *
 * Both are least fixed points, reached by sweeps over all instructions. A program that needs many
 * sweeps gets the safe answer instead, so the time stays linear.
 */
#include "jit-x86_64/analyse.h"

#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/compile.h"
#include "jit-x86_64/compose.h"
#include "jit-x86_64/fold.h"
#include "jit-x86_64/fuse.h"
#include "vm/alloc.h"

#define FUNCTION_SWEEPS_MAX  (VM_CALL_DEPTH_MAX + 8)
#define SHORT_LOOP_INSNS_MAX 24
#define SETTING_INSNS_MAX    4 /* between a constant and the jump that keeps it */
#define BIT(reg)             ((uint16_t)(1u << (reg)))
#define R0                   BIT(0)
#define ARGUMENTS            (BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5))
#define SAVED                (BIT(6) | BIT(7) | BIT(8) | BIT(9))
#define ALL                  (R0 | ARGUMENTS | SAVED | BIT(10))

struct effect {
    uint16_t reads;
    uint16_t writes;
};

/* Returns whether *set grew. */
static bool join(uint16_t *set, uint16_t more)
{
    bool grew = (*set | more) != *set;
    *set |= more;
    return grew;
}

static uint32_t next_of(const struct vm_program *p, uint32_t insn)
{
    return insn + (vm_isa[p->ops[insn].ix].group == VM_GROUP_LDDW ? 2 : 1);
}

/* Atomics that give the old value back do so in src, compare-and-exchange in R0. */
static struct effect atomic_effect(const struct vm_op *op, const struct vm_isa_row *row)
{
    struct effect it = {.reads = BIT(op->dst) | BIT(op->src)};
    if (op->ix == VM_IX_ACMPXCHG64 || op->ix == VM_IX_ACMPXCHG32) {
        it.reads |= R0;
        it.writes = R0;
    } else if (row->sub & 1) {
        it.writes = BIT(op->src);
    }
    return it;
}

static bool is_move(const struct vm_op *op)
{
    switch ((enum vm_ix)op->ix) {
    case VM_IX_MOV64_IMM:
    case VM_IX_MOV64_REG:
    case VM_IX_MOV32_IMM:
    case VM_IX_MOV32_REG:
    case VM_IX_MOVSX8_64:
    case VM_IX_MOVSX16_64:
    case VM_IX_MOVSX32_64:
    case VM_IX_MOVSX8_32:
    case VM_IX_MOVSX16_32: return true;
    default: return false;
    }
}

/* Of all but calls and exits. */
static struct effect effect_of(const struct vm_op *op)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    uint16_t dst = BIT(op->dst), src = row->source == VM_SOURCE_REG ? BIT(op->src) : 0;
    switch ((enum vm_group)row->group) {
    case VM_GROUP_ALU:
        return (struct effect){.reads = (uint16_t)(src | (is_move(op) ? 0 : dst)), .writes = dst};
    case VM_GROUP_END: return (struct effect){.reads = dst, .writes = dst};
    case VM_GROUP_LDDW: return (struct effect){.writes = dst};
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: return (struct effect){.reads = BIT(op->src), .writes = dst};
    case VM_GROUP_ST: return (struct effect){.reads = dst};
    case VM_GROUP_STX: return (struct effect){.reads = (uint16_t)(dst | BIT(op->src))};
    case VM_GROUP_ATOMIC: return atomic_effect(op, row);
    case VM_GROUP_JMP: return (struct effect){.reads = (uint16_t)(dst | src)};
    case VM_GROUP_JA:
    case VM_GROUP_CALL:
    case VM_GROUP_EXIT: break;
    }
    return (struct effect){.reads = 0};
}

/* ---- liveness ------------------------------------------------------------------------------- */

uint16_t analysis_live_after(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *op = &p->ops[insn];
    uint16_t live = a->live[next_of(p, insn)];
    switch ((enum vm_group)vm_isa[op->ix].group) {
    case VM_GROUP_JMP: return live | a->live[op->target];
    case VM_GROUP_JA: return a->live[op->target];
    case VM_GROUP_EXIT: return a->at_exit[p->function_index[insn]];
    default: return live;
    }
}

/* R1..R5 come out of a local call as the callee left them; R6..R9 are restored when it changes
 * them. callx may go anywhere. */
static uint16_t live_before_call(const struct analysis *a, const struct vm_program *p,
                                 const struct vm_op *op, uint16_t after)
{
    if (op->ix == VM_IX_CALLX) {
        return ALL;
    }
    if (op->ix == VM_IX_CALL_LOCAL) {
        return a->live[op->target] | (after & SAVED);
    }
    uint16_t before = after & SAVED;
    for (unsigned i = 0; i < 5; i++) {
        before |= p->helpers[op->target]->kind[i] == VM_ARG_NONE ? 0 : BIT(i + 1);
    }
    return before;
}

/* Returns whether anything was added. */
static bool live_sweep(struct analysis *a, const struct vm_program *p)
{
    bool added = false;
    for (uint32_t i = p->insn_count; i-- > 0;) {
        const struct vm_op *op = &p->ops[i];
        uint16_t after = analysis_live_after(a, p, i), before;
        if (op->ix == VM_IX_CALL_LOCAL) {
            added |= join(&a->at_exit[p->function_index[op->target]], after & (R0 | ARGUMENTS));
        }
        if (vm_isa[op->ix].group == VM_GROUP_CALL) {
            before = live_before_call(a, p, op, after);
        } else {
            struct effect it = effect_of(op);
            before = (uint16_t)(after & ~it.writes) | it.reads;
        }
        added |= join(&a->live[i], before);
    }
    return added;
}

static void find_live(struct analysis *a, const struct vm_program *p)
{
    bool has_callx = false;
    for (uint32_t i = 0; i < p->insn_count; i++) {
        has_callx |= p->ops[i].ix == VM_IX_CALLX;
    }
    for (uint32_t f = 0; f < p->function_count; f++) {
        a->at_exit[f] = has_callx ? R0 | ARGUMENTS : R0;
    }
    for (unsigned i = 0; i < ANALYSIS_SWEEPS_MAX; i++) {
        if (!live_sweep(a, p)) {
            return;
        }
    }
    for (uint32_t i = 0; i <= p->insn_count; i++) {
        a->live[i] = ALL;
    }
    for (uint32_t f = 0; f < p->function_count; f++) {
        a->at_exit[f] = ALL;
    }
}

/* ---- registers below 2^32 ------------------------------------------------------------------- */

bool analysis_is_half(const struct analysis *a, uint32_t insn, unsigned guest)
{
    return (a->half[insn] >> guest & 1) != 0;
}

/* Whether the instruction leaves dst below 2^32, when the registers of `half` were so before. The
 * proof of the cage must be able to see it from the native code: so not divisions, which multiply
 * 64 bits wide. */
static bool makes_half(const struct vm_op *op, const struct vm_isa_row *row, uint16_t half)
{
    bool src = (half >> op->src & 1) != 0, dst = (half >> op->dst & 1) != 0;
    bool small = op->imm >= 0 && op->imm <= UINT32_MAX;
    switch ((enum vm_ix)op->ix) {
    case VM_IX_MOV64_REG: return src || op->src == 10;
    case VM_IX_AND64_REG: return src || dst;
    case VM_IX_AND64_IMM:
    case VM_IX_MOV64_IMM:
    case VM_IX_LDDW:
    case VM_IX_LDDW_FUNC: return small;
    case VM_IX_LDX8:
    case VM_IX_LDX16:
    case VM_IX_LDX32: return true;
    case VM_IX_DIV32_IMM:
    case VM_IX_DIV32_REG:
    case VM_IX_SDIV32_IMM:
    case VM_IX_SDIV32_REG:
    case VM_IX_MOD32_IMM:
    case VM_IX_MOD32_REG:
    case VM_IX_SMOD32_IMM:
    case VM_IX_SMOD32_REG: return false;
    default: return (row->group == VM_GROUP_ALU || row->group == VM_GROUP_END) && row->width < 64;
    }
}

static uint16_t half_after(const struct vm_op *op, uint16_t half)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    uint16_t written = effect_of(op).writes;
    if (row->group == VM_GROUP_CALL) {
        return 0;
    }
    return (uint16_t)(half & ~written) | (makes_half(op, row, half) ? BIT(op->dst) : 0);
}

uint16_t analysis_clears_behind(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    switch ((enum vm_group)vm_isa[p->ops[insn].ix].group) {
    case VM_GROUP_JMP: /* a jump must be the last of its instruction */
    case VM_GROUP_JA:
    case VM_GROUP_EXIT: return 0;
    default:
        return a->clears[next_of(p, insn)] & (uint16_t)~half_after(&p->ops[insn], a->half[insn]);
    }
}

static void meet(uint16_t *set, uint16_t more, bool *shrunk)
{
    *shrunk |= (*set & ~more) != 0;
    *set &= more;
}

/* Returns whether anything was taken away. */
static bool half_sweep(struct analysis *a, const struct vm_program *p)
{
    bool shrunk = false;
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        uint8_t group = vm_isa[op->ix].group;
        uint16_t after = half_after(op, a->half[i]) | analysis_clears_behind(a, p, i);
        if (group == VM_GROUP_JMP || group == VM_GROUP_JA) {
            meet(&a->half[op->target], after, &shrunk);
        }
        if (group != VM_GROUP_JA && group != VM_GROUP_EXIT) {
            meet(&a->half[next_of(p, i)], after, &shrunk);
        } else if (!a->joins[i + 1] && !(i > 0 && a->inverts[i - 1])) {
            a->half[i + 1] = 0; /* never reached: nothing can be proven there */
        }
    }
    return shrunk;
}

static void find_half(struct analysis *a, const struct vm_program *p)
{
    memset(a->half, 0xff, ((size_t)p->insn_count + 1) * sizeof(*a->half));
    for (uint32_t f = 0; f < p->function_count; f++) {
        a->half[p->functions[f].start] = a->cleared[f];
    }
    for (unsigned i = 0; i < ANALYSIS_SWEEPS_MAX; i++) {
        if (!half_sweep(a, p)) {
            return;
        }
    }
    memset(a->half, 0, ((size_t)p->insn_count + 1) * sizeof(*a->half));
}

/* ---- what functions change, and how deep they call ------------------------------------------- */

/* One more than the callee, up to a depth that is too much. */
static bool raise_height(uint8_t *height, unsigned callee)
{
    unsigned above = callee < VM_CALL_DEPTH_MAX ? callee + 1 : VM_CALL_DEPTH_MAX + 1;
    bool grew = above > *height;
    *height = grew ? (uint8_t)above : *height;
    return grew;
}

static bool functions_sweep(struct analysis *a, const struct vm_program *p)
{
    bool grew = false;
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        uint32_t f = p->function_index[i];
        if (op->ix == VM_IX_CALLX) {
            grew |= join(&a->changes[f], SAVED);
            grew |= raise_height(&a->height[f], VM_CALL_DEPTH_MAX);
        } else if (op->ix == VM_IX_CALL_LOCAL) {
            uint32_t callee = p->function_index[op->target];
            grew |= join(&a->changes[f], a->changes[callee]);
            grew |= raise_height(&a->height[f], a->height[callee]);
        } else {
            grew |= join(&a->changes[f], effect_of(op).writes & SAVED);
        }
    }
    return grew;
}

static void look_at_functions(struct analysis *a, const struct vm_program *p)
{
    unsigned sweep = 0;
    while (sweep < FUNCTION_SWEEPS_MAX && functions_sweep(a, p)) {
        sweep++;
    }
    a->counts_depth = sweep == FUNCTION_SWEEPS_MAX;
    for (uint32_t f = 0; f < p->function_count; f++) {
        a->changes[f] = sweep == FUNCTION_SWEEPS_MAX ? SAVED : a->changes[f];
        a->counts_depth |= a->height[f] > VM_CALL_DEPTH_MAX;
    }
}

/* Clang has no conditional jumps that reach far, and writes `jeq r1, r2, +1 ; ja loop` at many a
 * loop's end. */
static bool jumps_over_jump(const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *op = &p->ops[insn];
    return vm_isa[op->ix].group == VM_GROUP_JMP && op->target == insn + 2 &&
           vm_isa[p->ops[insn + 1].ix].group == VM_GROUP_JA;
}

static void find_joins(struct analysis *a, const struct vm_program *p, bool inverting)
{
    for (uint32_t f = 0; f < p->function_count; f++) {
        a->joins[p->functions[f].start] = true;
    }
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        uint8_t group = vm_isa[p->ops[i].ix].group;
        a->inverts[i] = inverting && jumps_over_jump(p, i);
        if (!a->inverts[i] && (group == VM_GROUP_JMP || group == VM_GROUP_JA)) {
            a->joins[p->ops[i].target] = true;
        }
    }
    for (uint32_t i = 0; i < p->insn_count; i++) {
        if (a->inverts[i] && a->joins[i + 1]) {
            a->inverts[i] = false;
            a->joins[i + 2] = true;
        }
    }
}

/* Backwards, so that the jumps behind an instruction are known: it is in a loop when one of them
 * goes to it, or over it. */
static void find_loops(struct analysis *a, const struct vm_program *p)
{
    uint32_t head = p->insn_count;
    for (uint32_t i = p->insn_count; i-- > 0;) {
        uint8_t group = vm_isa[p->ops[i].ix].group;
        if ((group == VM_GROUP_JMP || group == VM_GROUP_JA) && p->ops[i].target < head) {
            head = p->ops[i].target;
        }
        a->loops[i] = head <= i;
    }
}

static bool is_jump(const struct vm_program *p, uint32_t insn, enum vm_group group)
{
    return insn < p->insn_count && vm_isa[p->ops[insn].ix].group == group;
}

/* Taken jumps cost more than others, and the one that continues the inner loop is taken most. */
static void find_swaps(struct analysis *a, const struct vm_program *p)
{
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        if (!is_jump(p, i, VM_GROUP_JMP) || !is_jump(p, i + 1, VM_GROUP_JA) || a->joins[i + 1] ||
            a->inverts[i]) {
            continue;
        }
        uint32_t leave = p->ops[i].target, stay = p->ops[i + 1].target;
        a->swaps[i] = stay <= i && leave > i;
        a->live[i + 1] |= a->swaps[i] ? a->live[leave] : 0;
    }
}

/* Whether the instruction is a move that can be made to depend on flags: its 32-bit form clears the
 * upper half even when it does not move. */
static bool is_selectable(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *op = &p->ops[insn];
    return op->src != 10 && (op->ix == VM_IX_MOV64_REG ||
                             (op->ix == VM_IX_MOV32_REG && analysis_is_half(a, insn, op->dst)));
}

/* Whether the move behind the jump `insn` makes the other one of 0 and 1 of what its register holds
 * if it jumps. Compilers write conditions that are kept in this way. */
static bool is_settable(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    const struct vm_op *jump = &p->ops[insn], *move = &p->ops[insn + 1];
    if ((move->ix != VM_IX_MOV64_IMM && move->ix != VM_IX_MOV32_IMM) ||
        (move->imm != 0 && move->imm != 1) || (effect_of(jump).reads >> move->dst & 1) != 0) {
        return false;
    }
    for (uint32_t i = insn; i > 0 && insn - i < SETTING_INSNS_MAX && !a->joins[i]; i--) {
        const struct vm_op *op = &p->ops[i - 1];
        uint8_t group = vm_isa[op->ix].group;
        bool is_slot = i > 1 && vm_isa[p->ops[i - 2].ix].group == VM_GROUP_LDDW;
        if (is_slot || (group != VM_GROUP_ALU && group != VM_GROUP_LDX)) {
            return false;
        }
        if (op->dst == move->dst) {
            return (op->ix == VM_IX_MOV64_IMM || op->ix == VM_IX_MOV32_IMM) &&
                   op->imm == 1 - move->imm;
        }
    }
    return false;
}

/* A processor predicts most conditions well, and then a jump is cheaper: what is moved need not
 * wait for the condition. What a script has just loaded is as good as random. */
static uint16_t loaded_after(const struct vm_op *op, uint16_t loaded)
{
    const struct vm_isa_row *row = &vm_isa[op->ix];
    struct effect it = effect_of(op);
    if (row->group == VM_GROUP_LDX || row->group == VM_GROUP_LDSX) {
        return loaded | BIT(op->dst);
    }
    return (it.reads & loaded) != 0 ? loaded | it.writes : (uint16_t)(loaded & ~it.writes);
}

/* The jump at `insn` is one over the move behind it, or goes where the jump behind that goes, and
 * no other comes in between. */
static bool is_around_move(const struct analysis *a, const struct vm_program *p, uint32_t insn)
{
    if (!is_jump(p, insn, VM_GROUP_JMP) || insn + 2 >= p->insn_count || a->joins[insn + 1] ||
        a->inverts[insn] || a->clears[insn + 2] != 0) {
        return false;
    }
    uint32_t target = p->ops[insn].target;
    bool is_beside = is_jump(p, insn + 2, VM_GROUP_JA) && !a->joins[insn + 2] &&
                     p->ops[insn + 2].target == target;
    return target == insn + 2 || is_beside;
}

static void find_selects(struct analysis *a, const struct vm_program *p, unsigned without)
{
    uint16_t loaded = 0;
    bool may_select = (without & JIT_SELECTING) == 0, may_set = (without & JIT_SETTING) == 0;
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        const struct vm_op *op = &p->ops[i];
        loaded = a->joins[i] ? 0 : loaded;
        if (is_around_move(a, p, i)) {
            bool is_loaded = (effect_of(op).reads & loaded) != 0;
            a->selects[i] = (may_select && is_loaded && is_selectable(a, p, i + 1)) ||
                            (may_set && is_settable(a, p, i));
        }
        loaded = vm_isa[op->ix].group == VM_GROUP_CALL ? 0 : loaded_after(op, loaded);
    }
}

/* Jumps back over few instructions, with no other jump back among them. */
static void find_heads(struct analysis *a, const struct vm_program *p)
{
    uint32_t last = 0; /* behind the jump back before */
    for (uint32_t i = 0; i < p->insn_count; i = next_of(p, i)) {
        uint32_t target = p->ops[i].target;
        if ((is_jump(p, i, VM_GROUP_JMP) || is_jump(p, i, VM_GROUP_JA)) && target <= i) {
            if (target >= last && i - target < SHORT_LOOP_INSNS_MAX) {
                a->heads[target] = (uint8_t)(i + 1 - target);
            }
            last = i + 1;
        }
    }
}

static void find_spans(struct analysis *a, const struct vm_program *p, unsigned without)
{
    for (uint32_t i = 0; i < p->insn_count; i++) {
        if (vm_isa[p->ops[i].ix].group != VM_GROUP_LDX || a->spans[i] != 0) {
            continue;
        }
        bool is_composed = (without & JIT_COMPOSING) == 0 && compose_mark(a, p, i);
        if (!is_composed && (without & JIT_FOLDING) == 0) {
            fold_mark(a, p, i);
        }
    }
}

bool analysis_init(struct analysis *a, const struct vm_program *program, unsigned without)
{
    a->joins = vm_allocate_zero((size_t)program->insn_count + 2, sizeof(*a->joins));
    a->inverts = vm_allocate_zero(program->insn_count, sizeof(*a->inverts));
    a->selects = vm_allocate_zero(program->insn_count, sizeof(*a->selects));
    a->swaps = vm_allocate_zero(program->insn_count, sizeof(*a->swaps));
    a->loops = vm_allocate_zero(program->insn_count, sizeof(*a->loops));
    a->rotates = vm_allocate_zero(program->insn_count, sizeof(*a->rotates));
    a->spans = vm_allocate_zero(program->insn_count, sizeof(*a->spans));
    a->heads = vm_allocate_zero(program->insn_count, sizeof(*a->heads));
    a->live = vm_allocate_zero((size_t)program->insn_count + 2, sizeof(*a->live));
    a->clears = vm_allocate_zero((size_t)program->insn_count + 2, sizeof(*a->clears));
    a->wide = vm_allocate_zero((size_t)program->insn_count + 2, sizeof(*a->wide));
    a->cleared = vm_allocate_zero(program->function_count, sizeof(*a->cleared));
    a->half = vm_allocate_zero((size_t)program->insn_count + 2, sizeof(*a->half));
    a->at_exit = vm_allocate_zero(program->function_count, sizeof(*a->at_exit));
    a->changes = vm_allocate_zero(program->function_count, sizeof(*a->changes));
    a->height = vm_allocate_zero(program->function_count, sizeof(*a->height));
    if (a->joins == NULL || a->inverts == NULL || a->selects == NULL || a->swaps == NULL ||
        a->loops == NULL || a->rotates == NULL || a->spans == NULL || a->heads == NULL ||
        a->live == NULL || a->half == NULL || a->wide == NULL || a->clears == NULL ||
        a->cleared == NULL || a->at_exit == NULL || a->changes == NULL || a->height == NULL) {
        return false;
    }
    find_joins(a, program, (without & JIT_INVERTING) == 0);
    find_loops(a, program);
    find_live(a, program);
    look_at_functions(a, program);
    return true;
}

void analysis_refine(struct analysis *a, const struct vm_program *program, unsigned without)
{
    find_half(a, program);
    if ((without & JIT_INVERTING) == 0) {
        find_swaps(a, program);
    }
    find_selects(a, program, without);
    if ((without & JIT_ALIGNING) == 0) {
        find_heads(a, program);
    }
    if ((without & JIT_ROTATING) == 0) {
        fuse_find_rotations(a, program);
    }
    find_spans(a, program, without);
}

void analysis_fini(struct analysis *a)
{
    vm_release(a->joins);
    vm_release(a->inverts);
    vm_release(a->selects);
    vm_release(a->swaps);
    vm_release(a->loops);
    vm_release(a->rotates);
    vm_release(a->spans);
    vm_release(a->heads);
    vm_release(a->live);
    vm_release(a->half);
    vm_release(a->wide);
    vm_release(a->clears);
    vm_release(a->cleared);
    vm_release(a->at_exit);
    vm_release(a->changes);
    vm_release(a->height);
    *a = (struct analysis){.live = NULL};
}
