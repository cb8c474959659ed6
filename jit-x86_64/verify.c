/* SPDX-License-Identifier: Apache-2.0 */
/* Two walks over the text. The first finds where instructions begin and where branches lead. The
 * second keeps what is known of each register (`enum value`), instruction by instruction, and asks
 * of every operand, call and return that this be enough.
 *
 * Where a branch from another eBPF instruction can arrive, the base is known: r12 arena, rbp frame,
 * nothing pushed; whoever goes there must have it. Also known is which registers are below 2^32 on
 * all ways: taken for granted at first and walked again until it holds. Inside one eBPF
 * instruction, what is known at a label is what all ways to it agree on.
 *
 * What compiled code may do is in the tables of verify_rules.c.
 */
#include "jit-x86_64/verify.h"

#include <stdlib.h>
#include <string.h>

#include "jit-x86_64/calls.h"
#include "jit-x86_64/analyse.h"
#include "jit-x86_64/jit.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/verify_walk.h"
#include "vm/alloc.h"

#define WALKS_MAX (4 * ANALYSIS_SWEEPS_MAX) /* the compiler finds its answers in so many */

static bool implies(uint8_t known, uint8_t wanted)
{
    return known == wanted || wanted == V_ANY || (wanted == V_ZEXT && verify_is_zext(known));
}

static const struct vm_op *op_of(const struct walk *w)
{
    return w->place == PLACE_BODY ? &w->in->program->ops[w->insn] : NULL;
}

/* ---- what an instruction leaves behind ------------------------------------------------------ */

/* The scalar function of the helper that the instruction calls, or NULL. */
static vm_scalar_fn *scalar_of(const struct walk *w)
{
    const struct vm_op *op = op_of(w);
    return op != NULL && op->ix == VM_IX_CALL ? w->in->program->helpers[op->target]->scalar : NULL;
}

/* The gate of the helper that the instruction calls, or 0. */
static uintptr_t gate_of(const struct walk *w)
{
    const struct vm_op *op = op_of(w);
    return op != NULL && op->ix == VM_IX_CALL ? calls_gate(w->in->program->gates[op->target].pass)
                                              : 0;
}

static uint8_t imm_value(const struct walk *w)
{
    const struct decoded *d = &w->d;
    if (scalar_of(w) != NULL && d->imm == (int64_t)(uintptr_t)scalar_of(w)) {
        return V_SCALAR;
    }
    if (d->imm == (int64_t)(uintptr_t)vm_yield) {
        return V_YIELD;
    }
    if (gate_of(w) != 0 && d->imm == (int64_t)gate_of(w)) {
        return V_HELPER;
    }
    if (d->imm == (int64_t)(uintptr_t)jit_fault_raise) {
        return V_RAISE;
    }
    return d->imm >= 0 && d->imm <= UINT32_MAX ? V_ZEXT : V_ANY;
}

static uint8_t sum_value(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return w->s.value[d->rm] == V_TABLE && d->has_reg && w->s.value[d->reg] == V_NONZERO ? V_TARGET
                                                                                         : V_ANY;
}

/* A step that cannot leave the lower 32 bits. */
static bool is_step(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return d->kind == KIND_ALU && (d->alu == X86_ADD || d->alu == X86_SUB) && d->has_imm &&
           d->imm >= -MEM_STEP_MAX && d->imm <= MEM_STEP_MAX && w->s.value[d->rm] == V_NEAR;
}

static uint8_t memory_value(const struct walk *w)
{
    if (w->d.access == ACCESS_ADDRESS) {
        return w->d.rip                     ? V_TABLE
               : verify_is_frame_address(w) ? V_FRAME
               : w->d.base == X86_R12       ? V_CONTEXT
               : w->d.width == 32           ? V_ZEXT
                                            : V_ANY;
    }
    if (w->d.kind == KIND_ALU && w->d.alu == X86_AND && w->d.has_reg &&
        verify_is_zext(w->s.value[w->d.reg])) {
        return V_ZEXT;
    }
    return verify_is_table_load(w) ? V_ENTRY : w->d.width == 32 ? V_ZEXT : V_ANY;
}

static bool is_small_and(const struct walk *w)
{
    const struct decoded *d = &w->d;
    bool other = d->has_imm ? d->imm >= 0 : verify_is_zext(w->s.value[d->reg]);
    return other || verify_is_zext(w->s.value[d->rm]);
}

static uint8_t result_value(const struct walk *w)
{
    const struct decoded *d = &w->d;
    if (d->access != ACCESS_NONE) {
        return memory_value(w);
    }
    if (d->kind == KIND_MOV_IMM) {
        return imm_value(w);
    }
    if (d->width == 64 && d->kind == KIND_MOV) {
        return w->s.value[d->reg];
    }
    if (is_step(w)) {
        return V_ZEXT;
    }
    if (d->width == 64 && d->kind == KIND_ALU && d->alu == X86_ADD) {
        return sum_value(w);
    }
    if (d->width == 64 && d->kind == KIND_ALU && d->alu == X86_AND && is_small_and(w)) {
        return V_ZEXT;
    }
    if (d->width == 64 && d->kind == KIND_CMOV) {
        bool both = verify_is_zext(w->s.value[d->reg]) && verify_is_zext(w->s.value[d->rm]);
        return both ? V_ZEXT : V_ANY;
    }
    return d->width == 32 ? V_ZEXT : V_ANY;
}

static void write_results(struct walk *w)
{
    uint8_t *value = w->s.value, result = result_value(w);
    switch (w->d.result) {
    case RESULT_NONE: break;
    case RESULT_RM: value[w->d.rm] = result; break;
    case RESULT_REG: value[w->d.reg] = result; break;
    case RESULT_RAX: value[X86_RAX] = V_ANY; break;
    case RESULT_RDX: value[X86_RDX] = result; break;
    case RESULT_RAX_RDX: value[X86_RAX] = value[X86_RDX] = result; break;
    }
}

/* ---- the stack ------------------------------------------------------------------------------ */

static bool push(struct walk *w, uint8_t reg)
{
    struct state *s = &w->s;
    if (s->depth == PUSHED_MAX) {
        return verify_refuse(w, "too much pushed");
    }
    s->pushed[s->depth++] =
        (struct pushed){.reg = reg,
                        .value = reg == X86_NO_REG ? V_ANY : s->value[reg],
                        .imm = w->d.kind == KIND_PUSH_IMM ? (int32_t)w->d.imm : -1};
    return true;
}

/* What was pushed from a register goes back there; other slots go to scratch, or nowhere. */
static bool pop(struct walk *w, uint8_t reg)
{
    struct state *s = &w->s;
    if (s->depth == 0) {
        return verify_refuse(w, "nothing pushed");
    }
    struct pushed top = s->pushed[--s->depth];
    if (reg != top.reg && !(reg == X86_R11 && top.reg == X86_NO_REG)) {
        return verify_refuse(w, "popped is not what was pushed");
    }
    if (reg != X86_NO_REG) {
        s->value[reg] = top.value;
    }
    return true;
}

static bool move_stack(struct walk *w)
{
    switch (w->d.alu) {
    case X86_SUB: return push(w, X86_NO_REG);
    case X86_ADD: return pop(w, X86_NO_REG);
    default: w->s.aligned = true; return true;
    }
}

/* ---- control -------------------------------------------------------------------------------- */

static bool has_base(const struct state *s)
{
    return s->value[X86_R12] == V_ARENA && s->value[X86_RBP] == V_FRAME && s->depth == 0 &&
           !s->aligned;
}

static struct state base_state(void)
{
    struct state s = {.depth = 0};
    s.value[X86_R12] = V_ARENA;
    s.value[X86_RBP] = V_FRAME;
    return s;
}

static void join(struct state *to, const struct state *from)
{
    for (unsigned i = 0; i < REG_COUNT; i++) {
        if (!implies(from->value[i], to->value[i])) {
            bool both = verify_is_zext(from->value[i]) && verify_is_zext(to->value[i]);
            to->value[i] = both ? V_ZEXT : V_ANY;
        }
    }
}

static struct label *label_at(struct walk *w, size_t at)
{
    for (unsigned i = 0; i < w->label_count; i++) {
        if (w->labels[i].at == at) {
            return &w->labels[i];
        }
    }
    return NULL;
}

static bool add_label(struct walk *w, size_t at, bool is_reached)
{
    if (w->label_count == LABELS_MAX) {
        return verify_refuse(w, "too many labels in one instruction");
    }
    w->labels[w->label_count++] = (struct label){.at = at, .state = w->s, .is_reached = is_reached};
    return true;
}

/* What a way to a target knows. */
static void meet(struct walk *w, size_t target)
{
    uint16_t zext = 0;
    for (unsigned i = 0; i < REG_COUNT; i++) {
        zext |= verify_is_zext(w->s.value[i]) ? 1u << i : 0;
    }
    w->changed |= (w->zext[target] & ~zext) != 0;
    w->zext[target] &= zext;
}

/* A branch to inside the same eBPF instruction, or to its end. */
static bool branch_inside(struct walk *w, size_t target)
{
    struct label *label = label_at(w, target);
    if (label == NULL) {
        return target > w->at ? add_label(w, target, false)
                              : verify_refuse(w, "a loop to no label");
    }
    if (!label->is_reached) {
        join(&label->state, &w->s);
        return true;
    }
    meet(w, target);
    for (unsigned i = 0; i < REG_COUNT; i++) {
        uint8_t wanted = label->state.value[i];
        if (!verify_is_zext(wanted) && !implies(w->s.value[i], wanted)) {
            return verify_refuse(w, "a loop spoils what its head knows");
        }
    }
    return true;
}

static size_t target_of(const struct walk *w)
{
    return (size_t)((int64_t)w->at + w->d.size + w->d.imm);
}

static bool is_inside(const struct walk *w, size_t target)
{
    return w->place == PLACE_BODY && target > w->in->offsets[w->insn] &&
           target <= w->in->offsets[w->insn + 1];
}

static struct state target_state(const struct walk *w)
{
    struct state s = base_state();
    for (unsigned i = 0; i < REG_COUNT; i++) {
        if (i != X86_R12 && i != X86_RBP && i != X86_RSP && (w->zext[w->at] >> i & 1) != 0) {
            s.value[i] = V_ZEXT;
        }
    }
    return s;
}

static bool branch(struct walk *w)
{
    size_t target = target_of(w), end = w->in->offsets[w->in->program->insn_count];
    uint8_t marks = w->marks[target];
    bool is_outside = (marks & MARK_BOUNDARY) != 0 || target >= end;
    if ((marks & MARK_START) == 0) {
        return verify_refuse(w, "a branch into the middle of an instruction");
    }
    if (!has_base(&w->s)) {
        return verify_refuse(w, "a branch with the stack or a fixed register changed");
    }
    if (is_inside(w, target)) {
        return branch_inside(w, target);
    }
    meet(w, target);
    return is_outside || verify_refuse(w, "a branch into another eBPF instruction");
}

/* The fallthrough of a branch knows what the comparison before it said. */
static void learn(struct walk *w)
{
    const struct decoded *c = &w->last;
    if (w->d.kind != KIND_JCC || w->label_count != 0) {
        return;
    }
    if (w->d.cond == X86_AE && c->kind == KIND_ALU && c->alu == X86_CMP && c->has_imm &&
        c->has_rm && c->width == 32 && c->imm == (int64_t)w->in->program->insn_count &&
        verify_is_zext(w->s.value[c->rm])) {
        w->s.value[c->rm] = V_INDEX;
    } else if (w->d.cond == X86_E && c->kind == KIND_TEST && c->rm == c->reg &&
               w->s.value[c->rm] == V_ENTRY) {
        w->s.value[c->rm] = V_NONZERO;
    }
}

static void forget(struct walk *w, uint32_t kept)
{
    for (unsigned i = 0; i < REG_COUNT; i++) {
        if ((kept >> i & 1) == 0) {
            w->s.value[i] = V_ANY;
        }
    }
}

#define BIT(reg) (1u << X86_##reg)
/* A guest function gives back nothing but these; C gives back more. */
#define KEPT_BY_GUEST (BIT(R12) | BIT(RBP))
#define KEPT_BY_HOST  (BIT(RBX) | BIT(RBP) | BIT(R12) | BIT(R13) | BIT(R14) | BIT(R15))

static bool call_guest(struct walk *w)
{
    if (w->s.value[X86_R12] != V_ARENA || w->s.value[X86_RBP] != V_FRAME || w->s.depth % 2 == 0 ||
        w->s.aligned) {
        return verify_refuse(w, "a call with the stack or a fixed register changed");
    }
    forget(w, KEPT_BY_GUEST);
    return true;
}

static bool call_helper(struct walk *w)
{
    const struct vm_op *op = op_of(w);
    struct pushed top = {.imm = -1};
    if (w->s.depth != 0) {
        top = w->s.pushed[w->s.depth - 1];
    }
    if (op == NULL || vm_isa[op->ix].group != VM_GROUP_CALL || w->s.value[X86_R9] != V_CONTEXT ||
        w->s.value[X86_R12] != V_ARENA || top.imm < 0 || (uint32_t)top.imm != op->target ||
        w->s.depth % 2 == 0) {
        return verify_refuse(w, "a helper call that is not prepared");
    }
    forget(w, KEPT_BY_HOST);
    return true;
}

static bool call_scalar(struct walk *w)
{
    if (w->s.value[X86_R9] != V_CONTEXT || w->s.depth % 2 == 0) {
        return verify_refuse(w, "a scalar helper call that is not prepared");
    }
    forget(w, KEPT_BY_HOST);
    return true;
}

static bool call_yield(struct walk *w)
{
    if (w->place != PLACE_BODY || w->s.value[X86_RDI] != V_CONTEXT || w->s.depth % 2 == 0) {
        return verify_refuse(w, "a yield that is not prepared");
    }
    forget(w, KEPT_BY_HOST);
    return true;
}

static bool call_raise(struct walk *w)
{
    if (w->place != PLACE_TAIL || w->s.value[X86_R12] != V_ARENA || !w->s.aligned) {
        return verify_refuse(w, "a fault raised without its arguments");
    }
    w->s.dead = true;
    return true;
}

static bool call_to(struct walk *w, uint8_t value)
{
    switch ((enum value)value) {
    case V_HELPER: return call_helper(w);
    case V_RAISE: return call_raise(w);
    case V_SCALAR: return call_scalar(w);
    case V_YIELD: return call_yield(w);
    case V_TARGET: return call_guest(w);
    default: return verify_refuse(w, "an indirect call to anywhere");
    }
}

static bool call_direct(struct walk *w)
{
    size_t target = target_of(w);
    uintptr_t address = w->in->address + target;
    if (gate_of(w) != 0 && address == gate_of(w)) {
        return call_helper(w);
    }
    if (address == (uintptr_t)jit_fault_raise) {
        return call_raise(w);
    }
    if (address == (uintptr_t)vm_yield) {
        return call_yield(w);
    }
    if (scalar_of(w) != NULL && address == (uintptr_t)scalar_of(w)) {
        return call_scalar(w);
    }
    if (target >= w->in->bytes || (w->marks[target] & MARK_FUNCTION) == 0) {
        return verify_refuse(w, "a call to where no function starts");
    }
    return call_guest(w);
}

static bool give_back(struct walk *w)
{
    bool ok = w->place == PLACE_BODY && has_base(&w->s);
    w->s.dead = true;
    return ok || verify_refuse(w, "a return with the stack or a fixed register changed");
}

static bool jump(struct walk *w)
{
    bool ok = branch(w);
    w->s.dead = true;
    return ok;
}

static bool execute(struct walk *w)
{
    switch (w->d.kind) {
    case KIND_PUSH: return push(w, w->d.rm);
    case KIND_PUSH_IMM: return push(w, X86_NO_REG);
    case KIND_POP: return pop(w, w->d.rm);
    case KIND_JMP: return jump(w);
    case KIND_JCC: return branch(w);
    case KIND_CALL: return call_direct(w);
    case KIND_CALL_REG: return call_to(w, w->s.value[w->d.rm]);
    case KIND_RET: return give_back(w);
    case KIND_TRAP: return w->s.dead || verify_refuse(w, "a trap that can be reached");
    default:
        if (w->d.has_rm && w->d.rm == X86_RSP && w->d.result == RESULT_RM) {
            return move_stack(w);
        }
        write_results(w);
        return true;
    }
}

/* ---- the first walk ------------------------------------------------------------------------- */

static void move_to(struct walk *w, size_t at)
{
    uint32_t count = w->in->program->insn_count;
    w->at = at;
    while (w->place == PLACE_BODY && at >= w->in->offsets[w->insn + 1]) {
        if (++w->insn == count) {
            w->place = PLACE_TAIL;
        }
    }
}

static bool mark_branch(struct walk *w)
{
    if (w->d.kind != KIND_JMP && w->d.kind != KIND_JCC) {
        return true;
    }
    size_t target = target_of(w);
    if (target >= w->in->bytes) {
        return verify_refuse(w, "a branch out of the text");
    }
    if (!is_inside(w, target)) {
        w->marks[target] |= MARK_TARGET;
    } else if (target <= w->at) {
        w->marks[target] |= MARK_LOOP;
    }
    return true;
}

static bool find_starts(struct walk *w)
{
    for (size_t at = 0; at < w->in->bytes; at += w->d.size) {
        move_to(w, at);
        if (!decode_one(w->in->text + at, w->in->bytes - at, &w->d)) {
            return verify_refuse(w, "bytes that are no instruction of the compiler");
        }
        w->marks[at] |= MARK_START;
        if (!mark_branch(w)) {
            return false;
        }
    }
    return true;
}

static bool mark_program(struct walk *w)
{
    const struct vm_program *p = w->in->program;
    if (w->in->offsets[0] != 0) {
        return verify_refuse(w, "code before the first instruction");
    }
    for (uint32_t i = 0; i <= p->insn_count; i++) {
        if (w->in->offsets[i] > w->in->bytes ||
            (i > 0 && w->in->offsets[i] < w->in->offsets[i - 1])) {
            return verify_refuse(w, "offsets that do not ascend");
        }
        w->marks[w->in->offsets[i]] |= MARK_BOUNDARY;
    }
    for (uint32_t i = 0; i < p->function_count; i++) {
        w->marks[w->in->offsets[p->functions[i].start]] |= MARK_FUNCTION;
    }
    return true;
}

/* ---- the second walk ------------------------------------------------------------------------ */

/* What registers hold when a loop goes on: below 2^32 as far as all walks before have found, and no
 * more than that. */
static void weaken(struct walk *w)
{
    for (unsigned i = 0; i < REG_COUNT; i++) {
        uint8_t *value = &w->s.value[i];
        if (verify_is_zext(*value)) {
            *value = (w->zext[w->at] >> i & 1) != 0 ? V_ZEXT : V_ANY;
        } else if (i == X86_RAX || i == X86_R10) {
            *value = V_ANY; /* loops change them */
        }
    }
}

static bool enter_label(struct walk *w)
{
    struct label *label = label_at(w, w->at);
    bool is_loop = (w->marks[w->at] & MARK_LOOP) != 0;
    if (label != NULL) {
        if (w->s.dead) {
            w->s = label->state;
        } else {
            join(&w->s, &label->state);
        }
    }
    if (!is_loop) {
        return true;
    }
    if (label != NULL) {
        return verify_refuse(w, "a loop that is entered in two ways");
    }
    weaken(w);
    return add_label(w, w->at, true);
}

static bool enter_boundary(struct walk *w)
{
    uint8_t marks = w->marks[w->at];
    if (!w->s.dead && !has_base(&w->s)) {
        return verify_refuse(w, "an instruction left the stack or a fixed register changed");
    }
    if (!w->s.dead && (marks & MARK_TARGET) != 0) {
        meet(w, w->at);
    }
    if ((marks & MARK_TARGET) != 0 && (marks & MARK_FUNCTION) == 0 && w->place == PLACE_BODY) {
        w->s = target_state(w);
    } else if (w->s.dead || (marks & (MARK_TARGET | MARK_FUNCTION)) != 0) {
        w->s = base_state();
    }
    for (unsigned i = 0; i < REG_COUNT; i++) {
        bool of_helper = w->s.value[i] == V_SCALAR || w->s.value[i] == V_HELPER;
        w->s.value[i] = of_helper ? V_ANY : w->s.value[i]; /* the next has another */
    }
    w->label_count = 0;
    return true;
}

static bool arrive(struct walk *w, size_t at)
{
    move_to(w, at);
    if (!enter_label(w)) {
        return false;
    }
    bool outside = (w->marks[at] & MARK_BOUNDARY) != 0 ||
                   (w->place == PLACE_TAIL && (w->marks[at] & MARK_TARGET) != 0);
    return !outside || enter_boundary(w);
}

static bool check_all(struct walk *w)
{
    w->insn = 0;
    w->place = PLACE_BODY;
    w->label_count = 0;
    w->changed = false;
    w->s = (struct state){.dead = true};
    w->d = (struct decoded){.size = 0};
    for (size_t at = 0; at < w->in->bytes; at += w->d.size) {
        w->last = w->d;
        if (!arrive(w, at)) {
            return false;
        }
        if (!decode_one(w->in->text + at, w->in->bytes - at, &w->d)) {
            return verify_refuse(w, "bytes that are no instruction of the compiler");
        }
        if ((w->d.access != ACCESS_NONE && !verify_memory(w)) || !verify_registers(w) ||
            !execute(w)) {
            return false;
        }
        learn(w);
    }
    w->at = w->in->bytes;
    return w->s.dead || verify_refuse(w, "the text can be left at its end");
}

/* Again until no target knows less than the walk took for granted. What is refused on the way
 * would be refused at the end: less is known then. */
static bool check_stable(struct walk *w)
{
    for (unsigned i = 0; i < WALKS_MAX; i++) {
        if (!check_all(w)) {
            return false;
        }
        if (!w->changed) {
            return true;
        }
    }
    return verify_refuse(w, "what registers hold is not found out in time");
}

static bool check_boundaries(struct walk *w)
{
    for (size_t at = 0; at < w->in->bytes; at++) {
        if ((w->marks[at] & (MARK_BOUNDARY | MARK_TARGET)) != 0 &&
            (w->marks[at] & MARK_START) == 0) {
            w->at = at;
            return verify_refuse(w, "a boundary in the middle of an instruction");
        }
    }
    return true;
}

bool jit_verify(const struct jit_verify_input *input, struct vm_diag *diag)
{
    struct walk w = {.in = input,
                     .marks = vm_allocate_zero(input->bytes + 1, 1),
                     .zext = vm_allocate((input->bytes + 1) * sizeof(*w.zext))};
    if (w.marks == NULL || w.zext == NULL) {
        vm_release(w.marks);
        vm_release(w.zext);
        vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "no memory to check native code");
        return false;
    }
    memset(w.zext, 0xff, (input->bytes + 1) * sizeof(*w.zext));
    bool ok = mark_program(&w) && find_starts(&w) && check_boundaries(&w) && check_stable(&w);
    if (!ok) {
        vm_diag_set(diag, VM_ERROR_UNSUPPORTED, w.place == PLACE_BODY ? w.insn : VM_NO_INSN,
                    "native code at offset %zu: %s", w.at, w.why);
    }
    vm_release(w.marks);
    vm_release(w.zext);
    return ok;
}

bool jit_verify_image(const struct vm_image *image, struct vm_diag *diag)
{
    struct jit_verify_input input = {.program = image->program, .uses_gs = image->uses_gs};
    input.text = jit_code(image, &input.bytes, &input.offsets);
    input.address = (uintptr_t)input.text;
    return jit_verify(&input, diag);
}
