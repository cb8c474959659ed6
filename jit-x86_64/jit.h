/* SPDX-License-Identifier: Apache-2.0 */
/* The x86-64 compiler, an engine for vm_image_create. */
#ifndef JIT_X86_64_JIT_H
#define JIT_X86_64_JIT_H

#include "vm/vm.h"

#ifdef __cplusplus
extern "C" {
#endif

VM_API extern const struct vm_engine jit_x86_64;

/* The native code of `image`, which must come from jit_x86_64: its bytes, and for each of the
 * program's instructions the offset of its first byte (array of insn_count + 1; the last is where
 * the out-of-line part begins). Lives as long as the image. */
VM_API const uint8_t *jit_code(const struct vm_image *image, size_t *bytes,
                               const uint32_t **offsets);

/* ---- names for tools, for those who want them; images must come from jit_x86_64 ---- */

/* Appends "PROGRAM:FUNCTION" for each function of `image` to /tmp/perf-PID.map, where perf(1) looks
 * for names of compiled code. They stay there when the image is gone; a later image at the same
 * addresses is appended behind and counts. False with *diag. Any thread. */
VM_API bool jit_perf_map(const struct vm_image *image, struct vm_diag *diag) VM_MUST_USE;

/* Shows gdb(1) functions and source lines of `image`, and how to get through them to their callers,
 * whether gdb is there already or comes later, until vm_image_free. Before the image is shared by
 * threads; once. False with *diag. */
VM_API bool jit_gdb_register(struct vm_image *image, struct vm_diag *diag) VM_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
