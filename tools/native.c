/* SPDX-License-Identifier: Apache-2.0 */
/* Listings of compiled code. The decoder is a library's and not the compiler's own, so that a
 * listing shows what the processor will do, not what the compiler meant. */
#include <Zydis/Zydis.h>
#include <stdio.h>

#include "tools/native.h"

enum { TEXT_BYTES = 96, BYTES_COLUMN = 33 };

static void print_hex(const uint8_t *bytes, size_t count)
{
    int width = 0;

    for (size_t i = 0; i < count; i++) {
        width += printf("%s%02x", i ? " " : "", bytes[i]);
    }
    printf("%*s", width < BYTES_COLUMN ? BYTES_COLUMN - width : 1, "");
}

/* Bytes that are no instruction are shown one by one. */
static size_t print_one(const ZydisDecoder *decoder, const ZydisFormatter *formatter,
                        const uint8_t *code, size_t at, size_t to, char text[TEXT_BYTES])
{
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, code + at, to - at, &insn, operands)) ||
        !ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
            formatter, &insn, operands, insn.operand_count_visible, text, TEXT_BYTES, at, NULL))) {
        snprintf(text, TEXT_BYTES, ".byte 0x%02x", code[at]);
        return 1;
    }
    return insn.length;
}

void tool_print_native(const uint8_t *code, size_t from, size_t to, const char *faint,
                       const char *plain)
{
    ZydisDecoder decoder;
    ZydisFormatter formatter;
    char text[TEXT_BYTES];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE,
                              ZYDIS_PADDING_DISABLED);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
    ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_DISP_PADDING,
                              ZYDIS_PADDING_DISABLED);
    for (size_t at = from; at < to;) {
        size_t length = print_one(&decoder, &formatter, code, at, to, text);
        printf("        %s%06zx  ", faint, at);
        print_hex(code + at, length);
        printf("%s%s\n", plain, text);
        at += length;
    }
}
