/* SPDX-License-Identifier: Apache-2.0 */
/* What compiled code may do, in two tables and five forms of the cage: `fields` for memory,
 * `grants` for the registers that hold the cage together. A new form of mem.c or lower_call.c is a
 * row here. */
#include "jit-x86_64/code.h"
#include "jit-x86_64/mem.h"
#include "jit-x86_64/verify_walk.h"

#define STACK_ALIGN    (-16)
#define ALIGNMENT_SLOT 8

bool verify_refuse(struct walk *w, const char *why)
{
    if (w->why == NULL) {
        w->why = why;
    }
    return false;
}

bool verify_is_zext(uint8_t value)
{
    return value >= V_ZEXT && value <= V_NONZERO;
}

bool verify_is_callx(const struct walk *w)
{
    return w->place == PLACE_BODY && w->in->program->ops[w->insn].ix == VM_IX_CALLX;
}

static uint32_t frame_bytes(const struct walk *w)
{
    const struct vm_program *p = w->in->program;
    return p->functions[p->function_index[w->insn]].frame_bytes;
}

/* ---- memory operands ------------------------------------------------------------------------ */

/* The run's context: these fields, in these ways. */
static const struct {
    size_t offset;
    size_t bytes; /* may be several of the access's width */
    uint8_t access;
    uint8_t width;
    uint8_t places;
} fields[] = {
    {offsetof(struct vm_context, insn), 4, ACCESS_STORE, 32, IN(BODY) | IN(TAIL)},
    {offsetof(struct vm_context, depth_left), 4, ACCESS_UPDATE, 32, IN(BODY)},
    {offsetof(struct vm_context, pending), 4, ACCESS_LOAD, 32, IN(BODY)},
    {0, 8, ACCESS_ADDRESS, 64, IN(BODY)},
};

/* A constant address, in the lower half of the window. */
static bool is_constant(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return d->access != ACCESS_ADDRESS && w->place == PLACE_BODY && d->base == X86_R12 &&
           d->index == X86_NO_REG && d->disp >= 0 && d->disp <= MEM_CONSTANT_MAX;
}

/* lea that only computes: nothing of it may come from the fixed registers but the low half of the
 * frame's address. */
static bool is_sum(const struct walk *w)
{
    const struct decoded *d = &w->d;
    bool has_frame = d->base == X86_RBP || d->index == X86_RBP;
    return d->access == ACCESS_ADDRESS && w->place == PLACE_BODY && d->base != X86_R12 &&
           d->base != X86_RSP && d->index != X86_R12 && (!has_frame || d->width == 32);
}

/* [rbp + 16 bits of displacement], rbp an address in the window. */
static bool is_frame(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return d->access != ACCESS_ADDRESS && w->place == PLACE_BODY && d->base == X86_RBP &&
           d->index == X86_NO_REG && d->disp == (int16_t)d->disp && w->s.value[X86_RBP] == V_FRAME;
}

bool verify_is_frame_address(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return d->access == ACCESS_ADDRESS && d->width == 64 && d->reg == X86_RBP &&
           d->base == X86_R12 && d->index == X86_RBP && d->scale == 0 && d->disp == 0 &&
           w->place != PLACE_TAIL && verify_is_zext(w->s.value[X86_RBP]);
}

/* r12 + index + 16 bits of displacement, the index proven to be below 4 GiB on every way that leads
 * here. */
static bool is_caged(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return d->access != ACCESS_ADDRESS && w->place == PLACE_BODY && d->base == X86_R12 &&
           d->index != X86_NO_REG && d->scale == 0 && d->disp == (int16_t)d->disp &&
           verify_is_zext(w->s.value[d->index]);
}

static bool is_field(const struct walk *w)
{
    const struct decoded *d = &w->d;
    int64_t offset = (int64_t)d->disp + VM_CONTEXT_BELOW;
    if (d->base != X86_R12 || d->index != X86_NO_REG) {
        return false;
    }
    for (size_t i = 0; i < COUNT(fields); i++) {
        int64_t start = (int64_t)fields[i].offset, end = start + (int64_t)fields[i].bytes;
        if (d->access == fields[i].access && d->width == fields[i].width &&
            (fields[i].places >> w->place & 1) != 0 && offset >= start &&
            offset + d->width / 8 <= end) {
            return true;
        }
    }
    return false;
}

bool verify_is_table_load(const struct walk *w)
{
    const struct decoded *d = &w->d;
    return verify_is_callx(w) && d->access == ACCESS_LOAD && d->width == 32 && d->disp == 0 &&
           d->scale == 2 && d->base != X86_NO_REG && d->index != X86_NO_REG &&
           w->s.value[d->base] == V_TABLE && w->s.value[d->index] == V_INDEX;
}

static bool is_table_address(const struct walk *w)
{
    size_t room = code_table_room(w->in->program->insn_count * sizeof(uint32_t));
    return verify_is_callx(w) && (int64_t)w->at + w->d.size + w->d.disp == -(int64_t)room;
}

/* The address has 32 bits, whatever the registers hold: no need to know. */
static bool is_in_segment(const struct walk *w)
{
    return w->d.gs && w->in->uses_gs && w->place == PLACE_BODY && !w->d.rip;
}

bool verify_memory(struct walk *w)
{
    if (w->d.gs) {
        return is_in_segment(w) || verify_refuse(w, "gs does not begin at the arena");
    }
    if (w->d.rip) {
        return (w->d.access == ACCESS_ADDRESS && is_table_address(w)) ||
               verify_refuse(w, "an address that is not the table of functions");
    }
    if (w->d.base == X86_R12 && w->s.value[X86_R12] != V_ARENA) {
        return verify_refuse(w, "r12 is not the arena");
    }
    if (is_caged(w)) {
        uint8_t *index = &w->s.value[w->d.index];
        *index = *index == V_ZEXT ? V_NEAR : *index;
        return true;
    }
    return is_frame(w) || is_constant(w) || is_field(w) || is_sum(w) ||
           verify_is_frame_address(w) || verify_is_table_load(w) ||
           verify_refuse(w, "a memory operand of no allowed form");
}

/* ---- registers ------------------------------------------------------------------------------ */

/* Who may name rsp, r12 and rbp in which instruction. Everybody may read the low half of rbp. */
enum grant_imm { IMM_IS, IMM_FRAME };

static const struct grant {
    uint8_t reg;
    uint8_t kind;
    uint8_t alu;
    uint8_t width;
    uint8_t imm_rule;
    int32_t imm;
    uint8_t places;
} grants[] = {
    /* room that aligns rsp */
    {X86_RSP, KIND_ALU, X86_SUB, 64, IMM_IS, ALIGNMENT_SLOT, IN(BODY)},
    {X86_RSP, KIND_ALU, X86_ADD, 64, IMM_IS, ALIGNMENT_SLOT, IN(BODY)},
    /* the last call of a run, from any depth */
    {X86_RSP, KIND_ALU, X86_AND, 64, IMM_IS, STACK_ALIGN, IN(TAIL)},
    /* the frame: 32 bits, so below 4 GiB, until the arena is added */
    {X86_RBP, KIND_ALU, X86_SUB, 32, IMM_FRAME, 0, IN(BODY)},
    {X86_RBP, KIND_ALU, X86_ADD, 32, IMM_FRAME, 0, IN(BODY)},
};

static bool imm_fits(const struct walk *w, const struct grant *g)
{
    switch ((enum grant_imm)g->imm_rule) {
    case IMM_IS: return w->d.has_imm && w->d.imm == g->imm;
    case IMM_FRAME: return w->d.has_imm && w->d.imm == (int64_t)frame_bytes(w);
    }
    return false;
}

static bool is_granted(const struct walk *w, uint8_t reg)
{
    const struct decoded *d = &w->d;
    for (size_t i = 0; i < COUNT(grants); i++) {
        const struct grant *g = &grants[i];
        if (reg == g->reg && d->result == RESULT_RM && d->rm == reg &&
            (!d->has_reg || d->reg != reg) && d->kind == (enum decode_kind)g->kind &&
            d->width == g->width && (d->kind != KIND_ALU || d->alu == g->alu) &&
            (g->places >> w->place & 1) != 0 && imm_fits(w, g)) {
            return true;
        }
    }
    return false;
}

static bool is_stack_kind(const struct walk *w)
{
    return w->d.kind == KIND_PUSH || w->d.kind == KIND_POP;
}

bool verify_registers(struct walk *w)
{
    const struct decoded *d = &w->d;
    bool writes_rbp = (d->has_rm && d->rm == X86_RBP && d->result == RESULT_RM) ||
                      (d->has_reg && d->reg == X86_RBP && d->result == RESULT_REG);
    if (is_stack_kind(w)) {
        return d->rm != X86_RSP || verify_refuse(w, "rsp on the stack");
    }
    for (unsigned i = 0; i < 2; i++) {
        uint8_t reg = i == 0 ? X86_RSP : X86_R12;
        bool is_named =
            (d->has_rm && d->rm == reg) || (d->has_reg && d->reg == reg) || d->vvvv == reg;
        if (is_named && !is_granted(w, reg)) {
            return verify_refuse(w, reg == X86_RSP ? "rsp as an operand" : "r12 as an operand");
        }
    }
    bool reads_rbp =
        (d->has_rm && d->rm == X86_RBP) || (d->has_reg && d->reg == X86_RBP) || d->vvvv == X86_RBP;
    if (writes_rbp) {
        return is_granted(w, X86_RBP) || verify_is_frame_address(w) ||
               verify_refuse(w, "a write to rbp");
    }
    return !reads_rbp || d->width <= 32 || verify_refuse(w, "all of rbp as an operand");
}
