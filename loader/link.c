/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a program of an object: copies code and data to their places, applies relocations, resolves
 * helpers, collects functions and entries. What the instructions mean is not checked here:
 * vm_program_create validates whatever linking produced.
 *
 * Addends stand in the place that is relocated (SHT_REL). A call's addend is in instructions and
 * counts from the one after the target's start (so a plain call holds -1); the addend of an lddw or
 * of a pointer in data is in bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/loader.h"
#include "loader/object.h"
#include "vm/limits.h"

enum relocation {
    R_LDDW = 1,      /* R_BPF_64_64: both halves of an lddw */
    R_POINTER = 2,   /* R_BPF_64_ABS64: 8 bytes of data */
    R_POINTER32 = 3, /* R_BPF_64_ABS32: 4 bytes of data */
    R_CALL = 10,     /* R_BPF_64_32: imm of a call */
};

enum {
    OP_LDDW = 0x18,
    OP_CALL = 0x85,
    OP_CALLX = 0x8d,
    SRC_LOCAL = 1,    /* of OP_CALL: a function by its distance */
    SRC_FUNCTION = 4, /* of OP_LDDW: a function by its distance */
};

/* What the linker notes about an instruction. */
enum { NOTE_LINKED = 1, NOTE_TARGET = 2 };

/* ld_symbol.helper: 0 not looked up, 1 no helper, else 2 + index. */
enum { HELPER_UNKNOWN = 1, HELPER_FIRST = 2 };

struct linker {
    struct ld_object object;
    struct ld_layout layout;
    const struct ld_helpers *helpers;
    struct vm_diag *diag;
    struct vm_insn *insns;
    uint8_t *notes; /* [insn_count] NOTE_ */
    uint8_t *rodata;
    uint8_t *data;
    struct vm_function *functions;
    uint32_t function_count;
    struct vm_entry *entries;
    uint32_t entry_count;
    const struct vm_helper **used; /* the program's helper table */
    uint32_t used_count;
    uint32_t *used_slot; /* [helpers->count] 1 + place in `used`, or 0 */
};

/* Where a symbol plus addend leads. */
struct place {
    bool is_code;
    uint32_t insn;    /* of code */
    uint64_t address; /* of everything else */
};

static enum vm_error out_of_memory(struct vm_diag *diag)
{
    return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
}

static enum vm_error refuse(const struct linker *l, enum vm_error error,
                            const struct ld_section *section, uint64_t offset, const char *what,
                            const char *symbol)
{
    return vm_diag_set(l->diag, error, VM_NO_INSN, "section %.64s+0x%llx: %s%s%.80s",
                       ld_name(section->name), (unsigned long long)offset, what, symbol ? " " : "",
                       symbol ? ld_name(symbol) : "");
}

/* ---- helpers -------------------------------------------------------------------------------- */

/* Place of helper `index` in the program's own table, which grows as helpers are met. */
static uint32_t use_helper(struct linker *l, uint32_t index)
{
    if (l->used_slot[index] == 0) {
        l->used[l->used_count++] = &l->helpers->helpers[index];
        l->used_slot[index] = l->used_count;
    }
    return l->used_slot[index] - 1;
}

/* Whether the undefined symbol names a helper; *index gets which. */
static bool find_helper(const struct linker *l, struct ld_symbol *symbol, uint32_t *index)
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

static bool find_helper_number(const struct ld_helpers *helpers, int32_t number, uint32_t *index)
{
    for (uint32_t i = 0; number > 0 && i < helpers->count; i++) {
        if (helpers->helpers[i].number == (uint32_t)number) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* ---- relocations ---------------------------------------------------------------------------- */

static enum vm_error resolve_undefined(struct linker *l, const struct ld_section *in,
                                       uint64_t offset, struct ld_symbol *symbol, struct place *out)
{
    uint32_t helper;

    if (find_helper(l, symbol, &helper)) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "no address can be taken of helper",
                      symbol->name);
    }
    if (symbol->bind != STB_WEAK) {
        return refuse(l, VM_ERROR_UNKNOWN_SYMBOL, in, offset, "undefined symbol", symbol->name);
    }
    *out = (struct place){0};
    return VM_ERROR_OK;
}

/* Where a pointer to `symbol` plus `addend` bytes leads. */
static enum vm_error resolve(struct linker *l, const struct ld_section *in, uint64_t offset,
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
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "unsupported kind of symbol",
                      symbol->name);
    }
    const struct ld_section *to = &l->object.sections[symbol->section];
    switch (to->kind) {
    case LD_MAPS:
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                      "maps are not supported:", symbol->name);
    case LD_IGNORED:
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                      "symbol in a section not loaded:", symbol->name);
    case LD_CODE:
        if (value % sizeof(struct vm_insn) != 0 || value >= to->size) {
            return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                          "not an instruction:", symbol->name);
        }
        *out = (struct place){.is_code = true,
                              .insn = to->base + (uint32_t)(value / sizeof(struct vm_insn))};
        l->notes[out->insn] |= NOTE_TARGET;
        return VM_ERROR_OK;
    case LD_RODATA:
    case LD_DATA: break;
    }
    if (symbol->value > to->size) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "outside its section:", symbol->name);
    }
    *out = (struct place){.address = to->base + value};
    return VM_ERROR_OK;
}

/* The relocated lddw at instruction `index`. Guest addresses have 32 bits, so an address that an
 * addend moved below its section wraps as pointer arithmetic does. */
static enum vm_error link_lddw(struct linker *l, const struct ld_section *in, uint64_t offset,
                               uint32_t index, struct ld_symbol *symbol)
{
    struct vm_insn *insn = &l->insns[index];
    struct place to;

    if (insn->code != OP_LDDW || offset + 2 * sizeof *insn > in->size) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "no lddw to relocate for",
                      symbol->name);
    }
    enum vm_error error = resolve(l, in, offset, symbol, (uint64_t)(int64_t)insn->imm, &to);
    if (error) {
        return error;
    }
    insn[0].src = to.is_code ? SRC_FUNCTION : 0;
    insn[0].imm = to.is_code ? (int32_t)(to.insn - (index + 1)) : (int32_t)(uint32_t)to.address;
    insn[1].imm = 0;
    return VM_ERROR_OK;
}

static enum vm_error link_call_helper(struct linker *l, const struct ld_section *in,
                                      uint64_t offset, struct vm_insn *insn,
                                      struct ld_symbol *symbol)
{
    uint32_t helper;

    if (!find_helper(l, symbol, &helper)) {
        return refuse(l, VM_ERROR_UNKNOWN_SYMBOL, in, offset, "call to undefined symbol",
                      symbol->name);
    }
    insn->src = 0;
    insn->imm = (int32_t)use_helper(l, helper);
    return VM_ERROR_OK;
}

static enum vm_error link_call(struct linker *l, const struct ld_section *in, uint64_t offset,
                               uint32_t index, struct ld_symbol *symbol)
{
    struct vm_insn *insn = &l->insns[index];

    if (insn->code != OP_CALL) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset, "no call to relocate for",
                      symbol->name);
    }
    if (symbol->section == SHN_UNDEF) {
        return link_call_helper(l, in, offset, insn, symbol);
    }
    struct place to;
    int64_t addend = ((int64_t)insn->imm + 1) * (int64_t)sizeof *insn;
    enum vm_error error = resolve(l, in, offset, symbol, (uint64_t)addend, &to);
    if (error) {
        return error;
    }
    if (!to.is_code) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, offset,
                      "call to what is no function:", symbol->name);
    }
    insn->src = SRC_LOCAL;
    insn->imm = (int32_t)(to.insn - (index + 1));
    return VM_ERROR_OK;
}

static enum vm_error relocate_code(struct linker *l, const struct ld_section *in,
                                   const Elf64_Rel *rel, struct ld_symbol *symbol)
{
    uint32_t type = ELF64_R_TYPE(rel->r_info);

    if (rel->r_offset % sizeof(struct vm_insn) != 0 || rel->r_offset >= in->size) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "no instruction here", NULL);
    }
    uint32_t index = in->base + (uint32_t)(rel->r_offset / sizeof(struct vm_insn));
    if (l->notes[index] & NOTE_LINKED) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "relocated twice", NULL);
    }
    l->notes[index] |= NOTE_LINKED;
    if (type == R_LDDW) {
        return link_lddw(l, in, rel->r_offset, index, symbol);
    }
    if (type == R_CALL) {
        return link_call(l, in, rel->r_offset, index, symbol);
    }
    return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset,
                  "unsupported relocation of code for", symbol->name);
}

static uint8_t *section_memory(const struct linker *l, const struct ld_section *s)
{
    return s->kind == LD_RODATA ? l->rodata + (s->base - VM_IMAGE_BASE)
                                : l->data + (s->base - l->layout.data_address);
}

/* A pointer in data: to data as its guest address, to a function as what callx takes. */
static enum vm_error relocate_data(struct linker *l, const struct ld_section *in,
                                   const Elf64_Rel *rel, struct ld_symbol *symbol)
{
    uint32_t type = ELF64_R_TYPE(rel->r_info);
    size_t width = type == R_POINTER ? sizeof(uint64_t) : sizeof(uint32_t);
    uint64_t value = 0;
    struct place to;

    if (type != R_POINTER && type != R_POINTER32) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset,
                      "unsupported relocation of data for", symbol->name);
    }
    if (!in->bytes || rel->r_offset > in->size || in->size - rel->r_offset < width) {
        return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel->r_offset, "no data here", NULL);
    }
    uint8_t *at = section_memory(l, in) + rel->r_offset;
    memcpy(&value, at, width);
    enum vm_error error = resolve(l, in, rel->r_offset, symbol, value, &to);
    if (error) {
        return error;
    }
    value = to.is_code ? VM_CODE_BASE + sizeof(struct vm_insn) * to.insn : (uint32_t)to.address;
    memcpy(at, &value, width);
    return VM_ERROR_OK;
}

static enum vm_error relocate_section(struct linker *l, const struct ld_section *table)
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
            return refuse(l, VM_ERROR_BAD_RELOCATION, in, rel.r_offset,
                          "relocation against no symbol", NULL);
        }
        struct ld_symbol *symbol = &l->object.symbols[ELF64_R_SYM(rel.r_info)];
        error = in->kind == LD_CODE ? relocate_code(l, in, &rel, symbol)
                                    : relocate_data(l, in, &rel, symbol);
    }
    return error;
}

/* ---- instructions --------------------------------------------------------------------------- */

/* clang 14 puts callx's register into imm; later compilers and RFC 9669 into dst. */
static void normalise_callx(struct vm_insn *insn)
{
    if (insn->dst == 0 && insn->src == 0 && insn->off == 0 && insn->imm > 0 && insn->imm <= 10) {
        insn->dst = (uint8_t)(insn->imm & 0x0f);
        insn->imm = 0;
    }
}

/* What needs no relocation: calls of helpers by number, and callx. */
static enum vm_error link_plain(struct linker *l, const struct ld_section *in, uint32_t first,
                                uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct vm_insn *insn = &l->insns[i];
        uint32_t helper;

        if (insn->code == OP_LDDW) {
            i++;
        } else if (insn->code == OP_CALLX) {
            normalise_callx(insn);
        } else if (insn->code == OP_CALL && insn->src == 0 && !(l->notes[i] & NOTE_LINKED)) {
            if (!find_helper_number(l->helpers, insn->imm, &helper)) {
                return vm_diag_set(l->diag, VM_ERROR_UNKNOWN_HELPER, i,
                                   "section %.64s+0x%zx: call to unknown helper %d",
                                   ld_name(in->name), (i - first) * sizeof *insn, insn->imm);
            }
            insn->imm = (int32_t)use_helper(l, helper);
        }
    }
    return VM_ERROR_OK;
}

static void copy_sections(struct linker *l)
{
    for (uint32_t i = 0; i < l->object.section_count; i++) {
        const struct ld_section *s = &l->object.sections[i];
        if (!s->bytes || s->size == 0) {
            continue;
        }
        if (s->kind == LD_CODE) {
            memcpy(l->insns + s->base, s->bytes, s->size);
        } else if (s->kind == LD_RODATA || s->kind == LD_DATA) {
            memcpy(section_memory(l, s), s->bytes, s->size);
        }
    }
}

static enum vm_error link_code(struct linker *l)
{
    enum vm_error error = VM_ERROR_OK;

    for (uint32_t i = 0; !error && i < l->object.section_count; i++) {
        if (l->object.sections[i].type == SHT_REL) {
            error = relocate_section(l, &l->object.sections[i]);
        }
    }
    for (uint32_t i = 0; !error && i < l->object.section_count; i++) {
        const struct ld_section *s = &l->object.sections[i];
        if (s->kind == LD_CODE) {
            error = link_plain(l, s, s->base, s->size / (uint32_t)sizeof(struct vm_insn));
        }
    }
    return error;
}

/* ---- functions and entries ------------------------------------------------------------------ */

static bool is_text(const char *section)
{
    return strncmp(section, ".text", 5) == 0 && (section[5] == '\0' || section[5] == '.');
}

/* The code section that `symbol` is a function of, or NULL when it is none. */
static const struct ld_section *function_section(const struct linker *l,
                                                 const struct ld_symbol *symbol)
{
    if (symbol->type != STT_FUNC || symbol->section >= l->object.section_count) {
        return NULL;
    }
    const struct ld_section *s = &l->object.sections[symbol->section];
    return s->kind == LD_CODE ? s : NULL;
}

static enum vm_error add_function(struct linker *l, const struct ld_section *s,
                                  const struct ld_symbol *symbol)
{
    if (symbol->value % sizeof(struct vm_insn) != 0 || symbol->value >= s->size) {
        return refuse(l, VM_ERROR_BAD_OBJECT, s, symbol->value, "no instruction starts function",
                      symbol->name);
    }
    if (strnlen(symbol->name, LD_NAME_BYTES_MAX) == LD_NAME_BYTES_MAX ||
        strnlen(s->name, LD_NAME_BYTES_MAX) == LD_NAME_BYTES_MAX) {
        return refuse(l, VM_ERROR_TOO_LARGE, s, symbol->value, "name too long:", symbol->name);
    }
    l->functions[l->function_count++] =
        (struct vm_function){.name = symbol->name,
                             .start = s->base + (uint32_t)(symbol->value / sizeof(struct vm_insn))};
    return VM_ERROR_OK;
}

/* Functions: symbols first; then starts of sections and targets of relocations, without names. */
static enum vm_error collect_functions(struct linker *l)
{
    enum vm_error error = VM_ERROR_OK;
    size_t room = (size_t)l->object.symbol_count + l->layout.insn_count + 1;

    l->functions = calloc(room, sizeof *l->functions);
    if (!l->functions) {
        return out_of_memory(l->diag);
    }
    for (uint32_t i = 0; !error && i < l->object.symbol_count; i++) {
        const struct ld_section *s = function_section(l, &l->object.symbols[i]);
        if (s) {
            error = add_function(l, s, &l->object.symbols[i]);
        }
    }
    for (uint32_t i = 0; i < l->object.section_count; i++) {
        const struct ld_section *s = &l->object.sections[i];
        if (s->kind == LD_CODE && s->size != 0) {
            l->notes[s->base] |= NOTE_TARGET;
        }
    }
    for (uint32_t i = 0; i < l->function_count; i++) {
        l->notes[l->functions[i].start] &= (uint8_t)~NOTE_TARGET;
    }
    for (uint32_t i = 0; i < l->layout.insn_count; i++) {
        if (l->notes[i] & NOTE_TARGET) {
            l->functions[l->function_count++] = (struct vm_function){.name = "", .start = i};
        }
    }
    return error;
}

static int by_insn(const void *a, const void *b)
{
    const struct vm_entry *x = a;
    const struct vm_entry *y = b;
    return (x->insn > y->insn) - (x->insn < y->insn);
}

static void collect_entries(struct linker *l, bool of_text)
{
    for (uint32_t i = 0; i < l->object.symbol_count; i++) {
        const struct ld_symbol *symbol = &l->object.symbols[i];
        const struct ld_section *s = function_section(l, symbol);
        if (s && symbol->bind != STB_LOCAL && is_text(s->name) == of_text) {
            l->entries[l->entry_count++] = (struct vm_entry){
                .section = s->name,
                .name = symbol->name,
                .insn = s->base + (uint32_t)(symbol->value / sizeof(struct vm_insn))};
        }
    }
}

static enum vm_error find_entries(struct linker *l)
{
    l->entries = calloc((size_t)l->object.symbol_count + 1, sizeof *l->entries);
    if (!l->entries) {
        return out_of_memory(l->diag);
    }
    collect_entries(l, false);
    if (l->entry_count == 0) {
        collect_entries(l, true);
    }
    if (l->entry_count == 0) {
        return vm_diag_set(l->diag, VM_ERROR_NO_ENTRY, VM_NO_INSN,
                           "no entry point: the object has no global function");
    }
    qsort(l->entries, l->entry_count, sizeof *l->entries, by_insn);
    return VM_ERROR_OK;
}

/* ---- the program ---------------------------------------------------------------------------- */

static enum vm_error allocate(struct linker *l, uint32_t insn_count)
{
    l->insns = calloc((size_t)insn_count + 1, sizeof *l->insns);
    l->notes = calloc((size_t)insn_count + 1, sizeof *l->notes);
    l->rodata = calloc((size_t)l->layout.rodata_bytes + 1, 1);
    l->data = calloc((size_t)l->layout.data_bytes + 1, 1);
    l->used = calloc((size_t)l->helpers->count + 1, sizeof *l->used);
    l->used_slot = calloc((size_t)l->helpers->count + 1, sizeof *l->used_slot);
    bool ok = l->insns && l->notes && l->rodata && l->data && l->used && l->used_slot;
    return ok ? VM_ERROR_OK : out_of_memory(l->diag);
}

static void release(struct linker *l)
{
    free(l->insns);
    free(l->notes);
    free(l->rodata);
    free(l->data);
    free(l->functions);
    free(l->entries);
    free(l->used);
    free(l->used_slot);
    ld_object_close(&l->object);
}

static enum vm_error link_object(struct linker *l, const uint8_t *bytes, size_t length)
{
    enum vm_error error = ld_object_open(&l->object, bytes, length, l->diag);

    if (!error) {
        error = ld_layout(&l->object, &l->layout, l->diag);
    }
    if (!error) {
        error = allocate(l, l->layout.insn_count);
    }
    if (error) {
        return error;
    }
    copy_sections(l);
    error = link_code(l);
    if (!error) {
        error = collect_functions(l);
    }
    return error ? error : find_entries(l);
}

/* The validator counts instructions through the program; its reader looks into one section. */
static void locate(const struct linker *l, struct vm_diag *diag)
{
    char text[sizeof diag->text];

    memcpy(text, diag->text, sizeof text);
    for (uint32_t i = 0; i < l->object.section_count; i++) {
        const struct ld_section *s = &l->object.sections[i];
        uint32_t count = s->size / (uint32_t)sizeof(struct vm_insn);
        if (s->kind == LD_CODE && diag->insn >= s->base && diag->insn - s->base < count) {
            vm_diag_set(diag, diag->error, diag->insn, "section %.64s+0x%zx: %.140s",
                        ld_name(s->name), (diag->insn - s->base) * sizeof(struct vm_insn), text);
        }
    }
}

static struct vm_program *make_program(const struct linker *l, const char *name)
{
    const struct vm_program_desc desc = {
        .name = name,
        .insns = l->insns,
        .insn_count = l->layout.insn_count,
        .functions = l->functions,
        .function_count = l->function_count,
        .entries = l->entries,
        .entry_count = l->entry_count,
        .helpers = l->used,
        .helper_count = l->used_count,
        .rodata = l->rodata,
        .rodata_bytes = l->layout.rodata_bytes,
        .data = l->data,
        .data_bytes = l->layout.data_bytes,
        .data_bytes_total = l->layout.data_bytes_total,
    };
    struct vm_program *program = vm_program_create(&desc, l->diag);

    if (!program && l->diag && l->diag->insn != VM_NO_INSN) {
        locate(l, l->diag);
    }
    return program;
}

struct vm_program *ld_load(const char *name, const uint8_t *bytes, size_t length,
                           const struct ld_helpers *helpers, struct vm_diag *diag)
{
    static const struct ld_helpers none = {0};
    struct linker l = {.helpers = helpers ? helpers : &none, .diag = diag};
    struct vm_program *program = NULL;

    if (!link_object(&l, bytes, length)) {
        program = make_program(&l, name);
    }
    release(&l);
    return program;
}

struct vm_program *ld_load_raw(const char *name, const uint8_t *bytes, size_t length,
                               const struct ld_helpers *helpers, struct vm_diag *diag)
{
    static const struct ld_helpers none = {0};
    struct linker l = {.helpers = helpers ? helpers : &none, .diag = diag};
    const struct ld_section all = {.name = "raw"};
    struct vm_program *program = NULL;

    if (length % sizeof(struct vm_insn) != 0) {
        vm_diag_set(diag, VM_ERROR_BAD_OBJECT, VM_NO_INSN,
                    "%zu bytes are not a whole number of 8-byte instructions", length);
        return NULL;
    }
    if (length / sizeof(struct vm_insn) > VM_INSN_COUNT_MAX) {
        vm_diag_set(diag, VM_ERROR_TOO_LARGE, VM_NO_INSN, "more than %u instructions",
                    VM_INSN_COUNT_MAX);
        return NULL;
    }
    l.layout.insn_count = (uint32_t)(length / sizeof(struct vm_insn));
    if (!allocate(&l, l.layout.insn_count)) {
        if (length) {
            memcpy(l.insns, bytes, length);
        }
        if (!link_plain(&l, &all, 0, l.layout.insn_count)) {
            program = make_program(&l, name);
        }
    }
    release(&l);
    return program;
}
