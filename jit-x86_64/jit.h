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

#ifdef __cplusplus
}
#endif

#endif
