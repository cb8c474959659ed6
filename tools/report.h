/* SPDX-License-Identifier: Apache-2.0 */
/* Where a program stands, for people: registers, the instructions around, the source line. All of
 * it goes to standard error. */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include "tools/source.h"
#include "vm/vm.h"

/* Bit n of `known` tells whether regs[n] is printed; of `changed`, whether it is marked. */
void tool_print_registers(const uint64_t regs[11], uint32_t known, uint32_t changed);

/* Up to `before` instructions and `after` of the function around `insn`, which gets an arrow. */
void tool_print_around(const struct vm_program *program, uint32_t insn, unsigned before,
                       unsigned after);

/* "auth.c:42" or "instruction 17" after the function's name: "check_token (auth.c:42)". */
void tool_print_place(const struct vm_program *program, uint32_t insn);

/* What there is to know of a fault below the line that names it. */
void tool_report_fault(const struct vm_program *program, const struct vm_fault *fault,
                       struct tool_sources *sources);

#endif
