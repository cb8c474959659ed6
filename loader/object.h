/* SPDX-License-Identifier: Apache-2.0 */
/* An object file that has been read and checked: what the linker may rely on. For loader/ only.
 *
 * After ld_object_open: every section's bytes lie inside the object, every name ends inside its
 * string table and holds no control character, relocation sections are whole, and together they
 * are no longer than the object itself (so linking is linear in its size). Symbol values and
 * relocation offsets are still as hostile as the file made them.
 */
#ifndef LOADER_OBJECT_H
#define LOADER_OBJECT_H

#include <elf.h>

#include "vm/vm.h"

/* Objects larger than this are refused: four times the largest image, room for debug sections. */
#define LD_OBJECT_BYTES_MAX (64u << 20)
/* Names of functions are copied; C++ and Rust make long ones. */
#define LD_NAME_BYTES_MAX 1024u

enum ld_kind {
    LD_IGNORED, /* debug information, BTF, licence: never part of the program */
    LD_MAPS,    /* map definitions: present is fine, use is refused */
    LD_CODE,
    LD_RODATA,
    LD_DATA,
};

struct ld_section {
    const char *name;
    const uint8_t *bytes; /* NULL when the section has none in the file (.bss) */
    uint32_t size;        /* bytes in memory */
    uint32_t align;       /* power of two */
    uint32_t type;        /* SHT_ */
    uint32_t info;        /* of SHT_REL: the section it applies to */
    enum ld_kind kind;
    uint32_t base; /* set by ld_layout: first instruction of code, guest address of data */
};

struct ld_symbol {
    const char *name;
    uint64_t value;
    uint64_t size;
    uint8_t type;     /* STT_ */
    uint8_t bind;     /* STB_ */
    uint16_t section; /* index, or SHN_ */
    uint32_t common;  /* set by ld_layout: guest address of an SHN_COMMON symbol */
    uint32_t helper;  /* set by the linker: what helper the name stands for, see link.c */
};

struct ld_object {
    uint8_t *copy; /* of the whole file, aligned */
    struct ld_section *sections;
    uint32_t section_count;
    struct ld_symbol *symbols;
    uint32_t symbol_count;
};

/* Where everything goes. */
struct ld_layout {
    uint32_t insn_count;
    uint32_t rodata_bytes;
    uint32_t data_address;
    uint32_t data_bytes;       /* given by the file */
    uint32_t data_bytes_total; /* with .bss and common symbols */
};

/* Reads and checks. On failure nothing is left to free. */
enum vm_error ld_object_open(struct ld_object *object, const uint8_t *bytes, size_t length,
                             struct vm_diag *diag) VM_MUST_USE;
void ld_object_close(struct ld_object *object);

/* Gives every section its place (`base`) and every common symbol its address. */
enum vm_error ld_layout(struct ld_object *object, struct ld_layout *layout,
                        struct vm_diag *diag) VM_MUST_USE;

/* Name of a section or symbol for messages: never NULL, never empty. */
const char *ld_name(const char *name);

#endif
