/* SPDX-License-Identifier: Apache-2.0 */
/* One instruction as a line of text, driven by isa.def.
 *
 *   mov r1, 5          ldxdw r0, [r1+8]        stxw [r10-4], r2         call zs_log
 *   jeq r1, 0, +5 -> 12                        lddw r1, 0x10000         call check_token
 *
 * A jump shows its distance as encoded and the instruction it leads to. Bits that are no legal
 * instruction (wrong opcode, register above 10, a field set that must be zero, half an lddw) print
 * as `.8byte`, so a listing never hides what the validator would refuse.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vm/isa.h"
#include "vm/vm.h"

enum { REGISTER_MAX = 10 };

/* What is printed and where to. */
struct line {
    const struct vm_program *program; /* or NULL */
    const struct vm_insn *insn;
    const struct vm_isa_row *row;
    uint32_t index;
    char *out;
    size_t out_bytes;
};

/* vm_isa_find has looked at the fields that tell rows apart; here every other field must be zero
 * unless the row uses it. */
static bool fields_ok(const struct vm_isa_row *row, const struct vm_insn *insn)
{
    return insn->dst <= REGISTER_MAX && insn->src <= REGISTER_MAX &&
           (insn->dst == 0 || row->fields & F_DST) && (insn->src == 0 || row->fields & F_SRC) &&
           (insn->off == 0 || row->fields & F_OFF) && (insn->imm == 0 || row->fields & F_IMM);
}

static bool second_slot_ok(const struct vm_insn *slot)
{
    return slot->code == 0 && slot->dst == 0 && slot->src == 0 && slot->off == 0;
}

/* The second operand: a register or a number. */
static const char *source(const struct line *l, char text[static 16])
{
    if (l->row->source == VM_SOURCE_REG) {
        snprintf(text, 16, "r%u", l->insn->src);
    } else {
        snprintf(text, 16, "%" PRId32, l->insn->imm);
    }
    return text;
}

static int64_t target_of(const struct line *l, int64_t distance)
{
    return (int64_t)l->index + 1 + distance;
}

/* Name of the function that starts at `target`, or NULL. */
static const char *function_name(const struct line *l, int64_t target)
{
    if (!l->program || target < 0 || target >= VM_NO_INSN) {
        return NULL;
    }
    const struct vm_function *f = vm_program_function_at(l->program, (uint32_t)target);
    return f && f->start == (uint32_t)target && f->name[0] ? f->name : NULL;
}

static void print_alu(const struct line *l)
{
    char operand[16];
    if (l->row->source == VM_SOURCE_NONE) {
        snprintf(l->out, l->out_bytes, "%s r%u", l->row->mnemonic, l->insn->dst);
    } else {
        snprintf(l->out, l->out_bytes, "%s r%u, %s", l->row->mnemonic, l->insn->dst,
                 source(l, operand));
    }
}

static void print_load(const struct line *l)
{
    snprintf(l->out, l->out_bytes, "%s r%u, [r%u%+d]", l->row->mnemonic, l->insn->dst, l->insn->src,
             l->insn->off);
}

static void print_store(const struct line *l)
{
    char operand[16];
    snprintf(l->out, l->out_bytes, "%s [r%u%+d], %s", l->row->mnemonic, l->insn->dst, l->insn->off,
             source(l, operand));
}

static void print_jump(const struct line *l)
{
    char operand[16];
    snprintf(l->out, l->out_bytes, "%s r%u, %s, %+d -> %" PRId64, l->row->mnemonic, l->insn->dst,
             source(l, operand), l->insn->off, target_of(l, l->insn->off));
}

static void print_goto(const struct line *l)
{
    int32_t distance = l->row->fields & F_IMM ? l->insn->imm : l->insn->off;
    snprintf(l->out, l->out_bytes, "%s %+" PRId32 " -> %" PRId64, l->row->mnemonic, distance,
             target_of(l, distance));
}

static void print_function(const struct line *l, const char *before)
{
    int64_t target = target_of(l, l->insn->imm);
    const char *name = function_name(l, target);
    if (name) {
        snprintf(l->out, l->out_bytes, "%s%s", before, name);
    } else {
        snprintf(l->out, l->out_bytes, "%s%+" PRId32 " -> %" PRId64, before, l->insn->imm, target);
    }
}

static void print_call(const struct line *l)
{
    char before[16];
    snprintf(before, sizeof before, "%s ", l->row->mnemonic);
    if (l->row->source == VM_SOURCE_REG) {
        snprintf(l->out, l->out_bytes, "%sr%u", before, l->insn->dst);
    } else if (l->row->fields & F_SRC) {
        print_function(l, before);
    } else {
        uint32_t helper = (uint32_t)l->insn->imm;
        if (l->program && helper < vm_program_helper_count(l->program)) {
            snprintf(l->out, l->out_bytes, "%s%s", before,
                     vm_program_helper(l->program, helper)->name);
        } else {
            snprintf(l->out, l->out_bytes, "%s%" PRId32, before, l->insn->imm);
        }
    }
}

static void print_lddw(const struct line *l)
{
    char before[32];
    uint64_t value = (uint32_t)l->insn[0].imm | (uint64_t)(uint32_t)l->insn[1].imm << 32;
    if (l->row->fields & F_SRC) {
        snprintf(before, sizeof before, "%s r%u, &", l->row->mnemonic, l->insn->dst);
        print_function(l, before);
    } else {
        snprintf(l->out, l->out_bytes, "%s r%u, 0x%" PRIx64, l->row->mnemonic, l->insn->dst, value);
    }
}

static void print_row(const struct line *l)
{
    switch ((enum vm_group)l->row->group) {
    case VM_GROUP_ALU:
    case VM_GROUP_END: print_alu(l); break;
    case VM_GROUP_LDDW: print_lddw(l); break;
    case VM_GROUP_LDX:
    case VM_GROUP_LDSX: print_load(l); break;
    case VM_GROUP_ST:
    case VM_GROUP_STX:
    case VM_GROUP_ATOMIC: print_store(l); break;
    case VM_GROUP_JMP: print_jump(l); break;
    case VM_GROUP_JA: print_goto(l); break;
    case VM_GROUP_CALL: print_call(l); break;
    case VM_GROUP_EXIT: snprintf(l->out, l->out_bytes, "%s", l->row->mnemonic); break;
    }
}

uint32_t vm_disasm(const struct vm_program *program, const struct vm_insn *insns, uint32_t count,
                   uint32_t index, char *out, size_t out_bytes)
{
    if (index >= count) {
        if (out_bytes) {
            out[0] = '\0';
        }
        return 1;
    }
    const struct vm_insn *insn = &insns[index];
    enum vm_ix ix = vm_isa_find(insn);
    bool legal = ix != VM_IX_COUNT && fields_ok(&vm_isa[ix], insn);
    uint32_t slots = 1;
    if (legal && vm_isa[ix].group == VM_GROUP_LDDW) {
        legal = index + 1 < count && second_slot_ok(&insn[1]) &&
                (!(vm_isa[ix].fields & F_SRC) || insn[1].imm == 0);
        slots = legal ? 2 : 1;
    }
    if (legal) {
        print_row(&(struct line){program, insn, &vm_isa[ix], index, out, out_bytes});
    } else {
        uint64_t raw;
        memcpy(&raw, insn, sizeof raw);
        snprintf(out, out_bytes, ".8byte 0x%016" PRIx64, raw);
    }
    return slots;
}
