/* SPDX-License-Identifier: Apache-2.0 */
/* A link under way, shared by link.c (copying, functions, entries, the program) and relocate.c
 * (relocations, helpers) and btf.c (source lines). For loader/ only. */
#ifndef LOADER_LINK_H
#define LOADER_LINK_H

#include "loader/loader.h"
#include "loader/object.h"

/* Opcodes and sources that linking touches. */
enum {
    LD_OP_LDDW = 0x18,
    LD_OP_CALL = 0x85,
    LD_OP_CALLX = 0x8d,
    LD_SRC_LOCAL = 1,    /* of LD_OP_CALL: a function by its distance */
    LD_SRC_FUNCTION = 4, /* of LD_OP_LDDW: a function by its distance */
};

/* What is noted about an instruction. */
enum {
    LD_NOTE_LINKED = 1, /* a relocation has been applied */
    LD_NOTE_TARGET = 2, /* its address was taken or it is called: a function starts here */
};

struct ld_linker {
    struct ld_object object;
    struct ld_layout layout;
    const struct ld_helpers *helpers;
    struct vm_diag *diag;
    struct vm_insn *insns;
    uint8_t *notes; /* [insn_count] LD_NOTE_ */
    uint8_t *rodata;
    uint8_t *data;
    bool values_in_place; /* see relocate.c */
    struct vm_function *functions;
    uint32_t function_count;
    struct vm_entry *entries;
    uint32_t entry_count;
    struct vm_line *lines; /* or NULL: no line information */
    uint32_t line_count;
    const struct vm_helper **used; /* the program's helper table */
    uint32_t used_count;
    uint32_t *used_slot; /* [helpers->count] 1 + place in `used`, or 0 */
};

/* Applies every relocation of a section that is loaded. */
enum vm_error ld_relocate(struct ld_linker *linker) VM_MUST_USE;

/* Fills `lines` from .BTF and .BTF.ext; leaves it empty when they are missing or malformed. The
 * names lie in the object's copy. */
void ld_read_lines(struct ld_linker *linker);

/* Place of helper `index` in the program's own table, which grows as helpers are met. */
uint32_t ld_use_helper(struct ld_linker *linker, uint32_t index);

/* Fills the diagnostic: "section <name>+<offset>: <what> <symbol>"; `symbol` may be NULL. Returns
 * `error`. */
enum vm_error ld_refuse(const struct ld_linker *linker, enum vm_error error,
                        const struct ld_section *section, uint64_t offset, const char *what,
                        const char *symbol);

/* Where the section's bytes are being linked. Constants and data only. */
uint8_t *ld_section_memory(const struct ld_linker *linker, const struct ld_section *section);

#endif
