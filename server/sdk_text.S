/* SPDX-License-Identifier: Apache-2.0 */
/* The header for scripts as a string: `--dump-sdk` prints it, and scripts are compiled against it.
 * The assembler finds the file through the -I that the Makefile gives it. And the manual page. */
    .section .rodata
    .globl sdk_text
    .hidden sdk_text
    .type sdk_text, @object
sdk_text:
    .incbin "zeroserve_sdk.h"
    .byte 0
    .size sdk_text, . - sdk_text

    .globl manual_text
    .hidden manual_text
    .type manual_text, @object
manual_text:
    .incbin "docs/zeroserve.1"
    .byte 0
    .size manual_text, . - manual_text

    .section .note.GNU-stack, "", @progbits
