/* SPDX-License-Identifier: Apache-2.0 */
/* Turns bytes into a valid program that uses all of the instruction set: the same bytes give the
 * same program, and changing a byte changes it a little, so that a coverage-guided fuzzer can
 * steer.
 *
 * Programs mostly end by themselves: jumps go forwards, loops count down in r9. They mostly touch
 * memory they have (stack, heap, constants, data), seldom any other. At its end the entry function
 * stores r0..r9, mostly all of them, on its stack, so that comparing memory compares registers. */
#ifndef TESTS_SUPPORT_GENERATE_H
#define TESTS_SUPPORT_GENERATE_H

#include "tests/support/code.h"
#include "tests/support/machine.h"

enum {
    T_GENERATED_MEMORY = 256, /* bytes of heap it expects */
    T_GENERATED_RODATA = 64,
    T_GENERATED_DATA = 128,
    T_GENERATED_INSNS_MAX = 3000, /* about; few programs have more than 100 */
};

void t_generate(struct t_code *code, const uint8_t *bytes, size_t length);
/* The program with constants and data of these sizes; NULL with *diag when refused. */
struct vm_program *t_generated_program(const struct t_code *code, struct vm_diag *diag);
/* The instructions alone, for an arena that has constants and data already. */
struct vm_program *t_generated_bare(const struct t_code *code, struct vm_diag *diag);

#endif
