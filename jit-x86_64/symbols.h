/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled code as tools outside see it: names for perf(1), an object file for gdb(1). jit.h has
 * the public side. All may be called on any thread. */
#ifndef JIT_X86_64_SYMBOLS_H
#define JIT_X86_64_SYMBOLS_H

#include <stddef.h>
#include <stdint.h>

#include "vm/engine.h"

/* What is to be described; borrowed, and alive as long as what is made of it. */
struct symbols_input {
    const struct vm_program *program;
    const uint8_t *text;
    size_t text_bytes;
    const uint32_t *offsets; /* [insn_count + 1] */
};

/* Name of code that belongs to no function of the program. */
#define SYMBOLS_FAULT "raise_fault"

/* ---- perf_map.c ---- */

enum vm_error perf_map_append(const struct symbols_input *in) VM_MUST_USE; /* HOST: see errno */

/* ---- gdb_object.c ---- */

/* An ELF object with symbols, source lines and how to unwind. NULL when memory is out; free(). */
uint8_t *gdb_object(const struct symbols_input *in, size_t *bytes) VM_MUST_USE;

/* ---- gdb_jit.c ---- */

struct gdb_entry;
/* NULL when memory is out. */
struct gdb_entry *gdb_entry_add(const struct symbols_input *in) VM_MUST_USE;
/* NULL is fine. */
void gdb_entry_remove(struct gdb_entry *entry);

#endif
