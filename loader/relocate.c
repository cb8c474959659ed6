/* SPDX-License-Identifier: Apache-2.0 */
/* Relocations (SHT_REL): lddw and pointers in data get guest addresses, calls become local calls or
 * helper calls.
 *
 * Addends stand in the place that is relocated. A call's addend is in instructions and counts from
 * the one after the target (so a plain call holds -1); the addend of an lddw or of a pointer is in
 * bytes. GNU as before 2.41 adds the value of a named symbol to the place as well (in bytes, for
 * calls too) and numbers the relocations of data differently; such objects are recognised by what
 * their places hold.
 */
#include <string.h>

#include "loader/link.h"
#include "vm/limits.h"

enum relocation {
    R_LDDW = 1,           /* R_BPF_64_64: both halves of an lddw */
    R_POINTER = 2,        /* R_BPF_64_ABS64: 8 bytes of data */
    R_POINTER32 = 3,      /* R_BPF_64_ABS32: 4 bytes of data */
    R_CALL = 10,          /* R_BPF_64_32: imm of a call */
    R_GNU_POINTER32 = 11, /* R_BPF_DATA_32 of GNU as before 2.41 */
    R_GNU_POINTER = 12,   /* R_BPF_DATA_64 */
};

/* ld_symbol.helper: 0 not looked up, 1 no helper, else 2 + index. */
enum { HELPER_UNKNOWN = 1, HELPER_FIRST = 2 };

/* Where a symbol plus addend leads. */
struct place {
    bool is_code;
    uint32_t insn;    /* of code */
    uint64_t address; /* of everything else */
};

/* Is it a symbol whose value GNU as might have added to the place? */
static bool has_value(const struct ld_symbol *symbol)
{
    return symbol->type != STT_SECTION && symbol->section != SHN_UNDEF &&
           symbol->section < SHN_LORESERVE && symbol->value != 0;
}

/* What the instruction at a relocation holds: bytes for lddw, instructions for a call. Places
 * outside their section hold 0; relocating them is refused later. */
static int64_t held_by(const struct ld_section *code, const Elf64_Rel *rel)
{
    struct vm_insn insn = {0};

    if (rel->r_offset <= code->size && code->size - rel->r_offset >= sizeof insn) {
        memcpy(&insn, code->bytes + rel->r_offset, sizeof insn);
    }
    return (int64_t)insn.imm + (ELF64_R_TYPE(rel->r_info) == R_CALL);
}

/* Does this table speak for values in places (1), against (-1), or neither (0)? In code they are
 * there if every place holds at least its symbol's value: compilers that leave them out write plain
 * calls and addends of 0. In data the number of the relocation tells. */
static int judge_table(const struct ld_linker *l, const struct ld_section *table)
{
    const struct ld_section *in = &l->object.sections[table->info];
    int verdict = 0;

    if (in->kind == LD_IGNORED || in->kind == LD_MAPS) {
        return 0;
    }
    for (uint32_t at = 0; at < table->size; at += (uint32_t)sizeof(Elf64_Rel)) {
        Elf64_Rel rel;
        memcpy(&rel, table->bytes + at, sizeof rel);
        uint64_t index = ELF64_R_SYM(rel.r_info);
        if (index >= l->object.symbol_count || !has_value(&l->object.symbols[index])) {
            continue;
        }
        if (in->kind == LD_CODE && held_by(in, &rel) < (int64_t)l->object.symbols[index].value) {
            return -1;
        }
        uint32_t type = ELF64_R_TYPE(rel.r_info);
        if (in->kind == LD_CODE || type == R_GNU_POINTER || type == R_GNU_POINTER32) {
            verdict = 1;
        }
    }
    return verdict;
}

static bool judge_object(const struct ld_linker *l)
{
    bool in_place = false;

    for (uint32_t i = 0; i < l->object.section_count; i++) {
        int verdict =
            l->object.sections[i].type == SHT_REL ? judge_table(l, &l->object.sections[i]) : 0;
        if (verdict < 0) {
            return false;
        }
        in_place = in_place || verdict > 0;
    }
    return in_place;
}

/* The addend alone, of what a place holds. */
static uint64_t addend_of(const struct ld_linker *l, const struct ld_symbol *symbol, int64_t held)
{
    bool both = l->values_in_place && has_value(symbol);
    return both ? (uint64_t)held - symbol->value : (uint64_t)held;
}

/* Whether the undefined symbol names a helper; *index gets which. */
static bool find_helper(const struct ld_linker *l, struct ld_symbol *symbol, uint32_t *index)
{
    for (uint32_t i = 0; symbol->helper == 0 && i < l->helpers->count; i++) {
        if (strcmp(l->helpers->helpers[i].name, symbol->name) == 0) {
            symbol->helper = HELPER_FIRST + i;
        }
    }
    if (symbol->helper < HELPER_FIRST) {
        symbol->helper = HELPER_UNKNOWN;
        return false;
    }
    *index = symbol->helper - HELPER_FIRST;
    return true;
}

static enum vm_error resolve_undefined(struct ld_linker *l, const struct ld_section *in,
                                       uint64_t offset, struct ld_symbol *symbol, struct place *out)
{
    uint32_t helper;

    if (find_helper(l, symbol, &helper)) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                         "no address can be taken of helper", symbol->name);
    }
    if (symbol->bind != STB_WEAK) {
        return ld_refuse(l, VM_ERROR_UNKNOWN_SYMBOL, in, offset, "undefined symbol", symbol->name);
    }
    *out = (struct place){0};
    return VM_ERROR_OK;
}

/* Where a pointer to `symbol` plus `addend` bytes leads. */
static enum vm_error resolve(struct ld_linker *l, const struct ld_section *in, uint64_t offset,
                             struct ld_symbol *symbol, uint64_t addend, struct place *out)
{
    uint64_t value = symbol->value + addend;

    if (symbol->section == SHN_UNDEF) {
        return resolve_undefined(l, in, offset, symbol, out);
    }
    if (symbol->section == SHN_ABS || symbol->section == SHN_COMMON) {
        uint64_t address = symbol->section == SHN_ABS ? value : symbol->common + addend;
        *out = (struct place){.address = address};
        return VM_ERROR_OK;
    }
    if (symbol->section >= SHN_LORESERVE) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "unsupported kind of symbol",
                         symbol->name);
    }
    const struct ld_section *to = &l->object.sections[symbol->section];
    switch (to->kind) {
    case LD_MAPS:
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                         "maps are not supported:", symbol->name);
    case LD_IGNORED:
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                         "symbol in a section not loaded:", symbol->name);
    case LD_CODE:
        if (value % sizeof(struct vm_insn) != 0 || value >= to->size) {
            return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                             "not an instruction:", symbol->name);
        }
        *out = (struct place){.is_code = true,
                              .insn = to->base + (uint32_t)(value / sizeof(struct vm_insn))};
        l->notes[out->insn] |= LD_NOTE_TARGET;
        return VM_ERROR_OK;
    case LD_RODATA:
    case LD_DATA: break;
    }
    if (symbol->value > to->size) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                         "outside its section:", symbol->name);
    }
    *out = (struct place){.address = to->base + value};
    return VM_ERROR_OK;
}

/* The relocated lddw at instruction `index`. Guest addresses have 32 bits, so an address that an
 * addend moved below its section wraps as pointer arithmetic does. */
static enum vm_error link_lddw(struct ld_linker *l, const struct ld_section *in, uint64_t offset,
                               uint32_t index, struct ld_symbol *symbol)
{
    struct vm_insn *insn = &l->insns[index];
    struct place to;

    if (insn->code != LD_OP_LDDW || offset + 2 * sizeof *insn > in->size) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "no lddw to relocate for",
                         symbol->name);
    }
    enum vm_error error = resolve(l, in, offset, symbol, addend_of(l, symbol, insn->imm), &to);
    if (error) {
        return error;
    }
    insn[0].src = to.is_code ? LD_SRC_FUNCTION : 0;
    insn[0].imm = to.is_code ? (int32_t)(to.insn - (index + 1)) : (int32_t)(uint32_t)to.address;
    insn[1].imm = 0;
    return VM_ERROR_OK;
}

static enum vm_error link_call_helper(struct ld_linker *l, const struct ld_section *in,
                                      uint64_t offset, struct vm_insn *insn,
                                      struct ld_symbol *symbol)
{
    uint32_t helper;

    if (!find_helper(l, symbol, &helper)) {
        return ld_refuse(l, VM_ERROR_UNKNOWN_SYMBOL, in, offset, "call to undefined symbol",
                         symbol->name);
    }
    insn->src = 0;
    insn->imm = (int32_t)ld_use_helper(l, helper);
    return VM_ERROR_OK;
}

static enum vm_error link_call(struct ld_linker *l, const struct ld_section *in, uint64_t offset,
                               uint32_t index, struct ld_symbol *symbol)
{
    struct vm_insn *insn = &l->insns[index];

    if (insn->code != LD_OP_CALL) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "no call to relocate for",
                         symbol->name);
    }
    if (symbol->section == SHN_UNDEF) {
        return link_call_helper(l, in, offset, insn, symbol);
    }
    struct place to;
    uint64_t addend = addend_of(l, symbol, (int64_t)insn->imm + 1) * sizeof *insn;
    enum vm_error error = resolve(l, in, offset, symbol, addend, &to);
    if (error) {
        return error;
    }
    if (!to.is_code) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                         "call to what is no function:", symbol->name);
    }
    insn->src = LD_SRC_LOCAL;
    insn->imm = (int32_t)(to.insn - (index + 1));
    return VM_ERROR_OK;
}

static enum vm_error relocate_code(struct ld_linker *l, const struct ld_section *in,
                                   const Elf64_Rel *rel, struct ld_symbol *symbol)
{
    uint32_t type = ELF64_R_TYPE(rel->r_info);

    if (rel->r_offset % sizeof(struct vm_insn) != 0 || rel->r_offset >= in->size) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "no instruction here",
                         NULL);
    }
    uint32_t index = in->base + (uint32_t)(rel->r_offset / sizeof(struct vm_insn));
    if (l->notes[index] & LD_NOTE_LINKED) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "relocated twice", NULL);
    }
    l->notes[index] |= LD_NOTE_LINKED;
    if (type == R_LDDW) {
        return link_lddw(l, in, rel->r_offset, index, symbol);
    }
    if (type == R_CALL) {
        return link_call(l, in, rel->r_offset, index, symbol);
    }
    return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset,
                     "unsupported relocation of code for", symbol->name);
}

/* A pointer in data: to data as its guest address, to a function as what callx takes. */
static enum vm_error relocate_data(struct ld_linker *l, const struct ld_section *in,
                                   const Elf64_Rel *rel, struct ld_symbol *symbol)
{
    uint32_t type = ELF64_R_TYPE(rel->r_info);
    bool is_wide = type == R_POINTER || type == R_GNU_POINTER;
    size_t width = is_wide ? sizeof(uint64_t) : sizeof(uint32_t);
    uint64_t value = 0;
    struct place to;

    if (!is_wide && type != R_POINTER32 && type != R_GNU_POINTER32) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset,
                         "unsupported relocation of data for", symbol->name);
    }
    if (!in->bytes || rel->r_offset > in->size || in->size - rel->r_offset < width) {
        return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "no data here", NULL);
    }
    uint8_t *at = ld_section_memory(l, in) + rel->r_offset;
    memcpy(&value, at, width);
    enum vm_error error =
        resolve(l, in, rel->r_offset, symbol, addend_of(l, symbol, (int64_t)value), &to);
    if (error) {
        return error;
    }
    value = to.is_code ? VM_CODE_BASE + sizeof(struct vm_insn) * to.insn : (uint32_t)to.address;
    memcpy(at, &value, width);
    return VM_ERROR_OK;
}

static enum vm_error relocate_section(struct ld_linker *l, const struct ld_section *table)
{
    const struct ld_section *in = &l->object.sections[table->info];
    enum vm_error error = VM_ERROR_OK;

    if (in->kind == LD_IGNORED || in->kind == LD_MAPS) {
        return VM_ERROR_OK;
    }
    for (uint32_t at = 0; !error && at < table->size; at += (uint32_t)sizeof(Elf64_Rel)) {
        Elf64_Rel rel;
        memcpy(&rel, table->bytes + at, sizeof rel);
        if (ELF64_R_SYM(rel.r_info) >= l->object.symbol_count) {
            return ld_refuse(l, VM_ERROR_BAD_RELOCATION, in, rel.r_offset,
                             "relocation against no symbol", NULL);
        }
        struct ld_symbol *symbol = &l->object.symbols[ELF64_R_SYM(rel.r_info)];
        error = in->kind == LD_CODE ? relocate_code(l, in, &rel, symbol)
                                    : relocate_data(l, in, &rel, symbol);
    }
    return error;
}

enum vm_error ld_relocate(struct ld_linker *l)
{
    enum vm_error error = VM_ERROR_OK;

    l->values_in_place = judge_object(l);
    for (uint32_t i = 0; !error && i < l->object.section_count; i++) {
        if (l->object.sections[i].type == SHT_REL) {
            error = relocate_section(l, &l->object.sections[i]);
        }
    }
    return error;
}
