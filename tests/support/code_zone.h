/* SPDX-License-Identifier: Apache-2.0 */
/* Executable memory that stays, for harnesses that compile millions of programs: mapping,
 * protecting and unmapping take longer than compiling most of them.
 *
 * The linker puts these functions in the place of those of jit-x86_64/code.h (--wrap, see the
 * Makefile). While the zone is off, and for what is too large for it, they call the ones they
 * replace. In the zone no page is ever writable and executable either: it is a memory file that is
 * mapped twice. What it lacks are the guards around each program; int3 follows the text. */
#ifndef TESTS_SUPPORT_CODE_ZONE_H
#define TESTS_SUPPORT_CODE_ZONE_H

#include "jit-x86_64/code.h"

/* Whether code that is compiled from now on goes to the zone. Places are taken in turn, whether
 * what was there is still wanted or not: no more than two programs at a time. */
void t_code_zone(bool on);

enum vm_error __wrap_code_reserve(struct code *code, uintptr_t anchor, size_t table_bytes,
                                  size_t text_bytes);
enum vm_error __wrap_code_fill(struct code *code, const void *table, const uint8_t *text);
void __wrap_code_unmap(struct code *code);

#endif
