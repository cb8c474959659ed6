/* SPDX-License-Identifier: Apache-2.0 */
/* Lists x86-64 code: bytes and mnemonics. */
#ifndef TOOLS_NATIVE_H
#define TOOLS_NATIVE_H

#include <stddef.h>
#include <stdint.h>

/* Instructions in code[from..to), one a line on standard output with its offset; branches name
 * offsets, too. `faint` and `plain` switch the colour of the bytes. */
void tool_print_native(const uint8_t *code, size_t from, size_t to, const char *faint,
                       const char *plain);

#endif
