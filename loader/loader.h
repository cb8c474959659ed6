/* SPDX-License-Identifier: Apache-2.0 */
/* Turns the bytes of an eBPF object file (ELF64, little endian, EM_BPF, relocatable) into a
 * program. */
#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include "vm/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Helpers an object may link against. `calls by number` resolve through vm_helper.number (never 0).
 */
struct ld_helpers {
    const struct vm_helper *helpers;
    uint32_t count;
};

/* Links every executable section of the object into one program, which keeps `name`. Every global
 * function in a section other than .text and .text.* is an entry; if there is none, every global
 * function of those is. Entries stand in the order of the file. Borrows bytes; copies what it
 * keeps. NULL with one line in *diag when the object is refused; the line names section, symbol or
 * offset, not the object. Source lines come from .BTF and .BTF.ext; malformed ones are dropped, not
 * refused. No global state: may be called from several threads. */
VM_API struct vm_program *ld_load(const char *name, const uint8_t *bytes, size_t length,
                                  const struct ld_helpers *helpers,
                                  struct vm_diag *diag) VM_MUST_USE;

/* Makes a program of raw 8-byte instructions: calls by number only, one entry at instruction 0.
 * Same contract as ld_load. */
VM_API struct vm_program *ld_load_raw(const char *name, const uint8_t *bytes, size_t length,
                                      const struct ld_helpers *helpers,
                                      struct vm_diag *diag) VM_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
