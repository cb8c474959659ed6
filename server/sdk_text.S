/* SPDX-License-Identifier: Apache-2.0 */
/* The header for scripts as a string: `--dump-sdk` prints it, and scripts are compiled against it.
 * The assembler finds the file through the -I that the Makefile gives it. */
    .section .rodata
    .globl sdk_text
    .hidden sdk_text
    .type sdk_text, @object
sdk_text:
    .incbin "zeroserve_sdk.h"
    .byte 0
    .size sdk_text, . - sdk_text

    .section .note.GNU-stack, "", @progbits
