/* SPDX-License-Identifier: Apache-2.0 */
/* What generated programs find in their memory. */
#include "tests/support/generate.h"

struct vm_program *t_generated_program(const struct t_code *code, struct vm_diag *diag)
{
    uint8_t rodata[T_GENERATED_RODATA], data[T_GENERATED_DATA / 2];
    for (unsigned i = 0; i < sizeof rodata; i++)
        rodata[i] = (uint8_t)(i * 37 + 11);
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 151 + 128);
    return vm_program_create(&(struct vm_program_desc){.name = "generated",
                                                       .insns = code->insns,
                                                       .insn_count = code->count,
                                                       .helpers = t_helpers,
                                                       .helper_count = t_helper_count,
                                                       .rodata = rodata,
                                                       .rodata_bytes = sizeof rodata,
                                                       .data = data,
                                                       .data_bytes = sizeof data,
                                                       .data_bytes_total = T_GENERATED_DATA},
                             diag);
}

struct vm_program *t_generated_bare(const struct t_code *code, struct vm_diag *diag)
{
    return t_program(code->insns, code->count, diag);
}
