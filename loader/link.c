/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a program of an object: copies code and data to their places, resolves helpers called by
 * number, collects functions and entries. What the instructions mean is not checked here:
 * vm_program_create validates whatever linking produced.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/link.h"
#include "vm/alloc.h"
#include "vm/limits.h"

static enum vm_error out_of_memory(struct vm_diag *diag)
{
    return vm_diag_set(diag, VM_ERROR_NO_MEMORY, VM_NO_INSN, "out of memory");
}

enum vm_error ld_refuse(const struct ld_linker *l, enum vm_error error,
                        const struct ld_section *section, uint64_t offset, const char *what,
                        const char *symbol)
{
    return vm_diag_set(l->diag, error, VM_NO_INSN, "section %.64s+0x%llx: %s%s%.80s",
                       ld_name(section->name), (unsigned long long)offset, what, symbol ? " " : "",
                       symbol ? ld_name(symbol) : "");
}

uint32_t ld_use_helper(struct ld_linker *l, uint32_t index)
{
    if (l->used_slot[index] == 0) {
        l->used[l->used_count++] = &l->helpers->helpers[index];
        l->used_slot[index] = l->used_count;
    }
    return l->used_slot[index] - 1;
}

uint8_t *ld_section_memory(const struct ld_linker *l, const struct ld_section *s)
{
    return s->kind == LD_RODATA ? l->rodata + (s->base - VM_IMAGE_BASE)
                                : l->data + (s->base - l->layout.data_address);
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
static enum vm_error link_plain(struct ld_linker *l, const struct ld_section *in, uint32_t first,
                                uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        struct vm_insn *insn = &l->insns[i];
        uint32_t helper;

        if (insn->code == LD_OP_LDDW) {
            i++;
        } else if (insn->code == LD_OP_CALLX) {
            normalise_callx(insn);
        } else if (insn->code == LD_OP_CALL && insn->src == 0 && !(l->notes[i] & LD_NOTE_LINKED)) {
            if (!find_helper_number(l->helpers, insn->imm, &helper)) {
                return vm_diag_set(l->diag, VM_ERROR_UNKNOWN_HELPER, i,
                                   "section %.64s+0x%zx: call to unknown helper %d",
                                   ld_name(in->name), (i - first) * sizeof *insn, insn->imm);
            }
            insn->imm = (int32_t)ld_use_helper(l, helper);
        }
    }
    return VM_ERROR_OK;
}

static void copy_sections(struct ld_linker *l)
{
    for (uint32_t i = 0; i < l->object.section_count; i++) {
        const struct ld_section *s = &l->object.sections[i];
        if (!s->bytes || s->size == 0) {
            continue;
        }
        if (s->kind == LD_CODE) {
            memcpy(l->insns + s->base, s->bytes, s->size);
        } else if (s->kind == LD_RODATA || s->kind == LD_DATA) {
            memcpy(ld_section_memory(l, s), s->bytes, s->size);
        }
    }
}

static enum vm_error link_code(struct ld_linker *l)
{
    enum vm_error error = ld_relocate(l);

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
static const struct ld_section *function_section(const struct ld_linker *l,
                                                 const struct ld_symbol *symbol)
{
    if (symbol->type != STT_FUNC || symbol->section >= l->object.section_count) {
        return NULL;
    }
    const struct ld_section *s = &l->object.sections[symbol->section];
    return s->kind == LD_CODE ? s : NULL;
}

static enum vm_error add_function(struct ld_linker *l, const struct ld_section *s,
                                  const struct ld_symbol *symbol)
{
    if (symbol->value % sizeof(struct vm_insn) != 0 || symbol->value >= s->size) {
        return ld_refuse(l, VM_ERROR_BAD_OBJECT, s, symbol->value, "no instruction starts function",
                         symbol->name);
    }
    if (strnlen(symbol->name, LD_NAME_BYTES_MAX) == LD_NAME_BYTES_MAX ||
        strnlen(s->name, LD_NAME_BYTES_MAX) == LD_NAME_BYTES_MAX) {
        return ld_refuse(l, VM_ERROR_TOO_LARGE, s, symbol->value, "name too long:", symbol->name);
    }
    l->functions[l->function_count++] =
        (struct vm_function){.name = symbol->name,
                             .start = s->base + (uint32_t)(symbol->value / sizeof(struct vm_insn))};
    return VM_ERROR_OK;
}

/* Functions: symbols first; then starts of sections and targets of relocations, without names. */
static enum vm_error collect_functions(struct ld_linker *l)
{
    enum vm_error error = VM_ERROR_OK;
    size_t room = (size_t)l->object.symbol_count + l->layout.insn_count + 1;

    l->functions = vm_allocate_zero(room, sizeof *l->functions);
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
            l->notes[s->base] |= LD_NOTE_TARGET;
        }
    }
    for (uint32_t i = 0; i < l->function_count; i++) {
        l->notes[l->functions[i].start] &= (uint8_t)~LD_NOTE_TARGET;
    }
    for (uint32_t i = 0; i < l->layout.insn_count; i++) {
        if (l->notes[i] & LD_NOTE_TARGET) {
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

static void collect_entries(struct ld_linker *l, bool of_text)
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

static enum vm_error find_entries(struct ld_linker *l)
{
    l->entries = vm_allocate_zero((size_t)l->object.symbol_count + 1, sizeof *l->entries);
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

static enum vm_error allocate(struct ld_linker *l, uint32_t insn_count)
{
    l->insns = vm_allocate_zero((size_t)insn_count + 1, sizeof *l->insns);
    l->notes = vm_allocate_zero((size_t)insn_count + 1, sizeof *l->notes);
    l->rodata = vm_allocate_zero((size_t)l->layout.rodata_bytes + 1, 1);
    l->data = vm_allocate_zero((size_t)l->layout.data_bytes + 1, 1);
    l->used = vm_allocate_zero((size_t)l->helpers->count + 1, sizeof *l->used);
    l->used_slot = vm_allocate_zero((size_t)l->helpers->count + 1, sizeof *l->used_slot);
    bool ok = l->insns && l->notes && l->rodata && l->data && l->used && l->used_slot;
    return ok ? VM_ERROR_OK : out_of_memory(l->diag);
}

static void release(struct ld_linker *l)
{
    vm_release(l->insns);
    vm_release(l->notes);
    vm_release(l->rodata);
    vm_release(l->data);
    vm_release(l->functions);
    vm_release(l->entries);
    vm_release(l->lines);
    vm_release(l->used);
    vm_release(l->used_slot);
    ld_object_close(&l->object);
}

static enum vm_error link_object(struct ld_linker *l, const uint8_t *bytes, size_t length)
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
    if (!error) {
        error = find_entries(l);
    }
    if (!error) {
        ld_read_lines(l);
    }
    return error;
}

/* The validator counts instructions through the program; its reader looks into one section. */
static void locate(const struct ld_linker *l, struct vm_diag *diag)
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

static struct vm_program *make_program(const struct ld_linker *l, const char *name)
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
        .lines = l->lines,
        .line_count = l->line_count,
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
    struct ld_linker l = {.helpers = helpers ? helpers : &none, .diag = diag};
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
    struct ld_linker l = {.helpers = helpers ? helpers : &none, .diag = diag};
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
