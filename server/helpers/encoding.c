/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 and hexadecimal (RFC 4648). Decoding is strict, so that a value has one spelling: padding
 * as the variant has it, no white space, unused bits zero. What is malformed stays as it was. */
#include <string.h>

#include "server/chars.h"
#include "server/helpers/helpers.h"

/* ZS_BASE64_* and ZS_HEX_* of sdk/zeroserve.h. */
enum { BASE64_NO_PAD = 1, BASE64_URL = 2, BASE64_COUNT = 4 };
enum { HEX_UPPERCASE = 1, HEX_COUNT = 2 };

#define MALFORMED ((uint64_t)-1)

static const char *const alphabets[2] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

static void check_selector(struct vm_context *context, uint64_t value, uint64_t count)
{
    if (value >= count) {
        vm_helper_fault(context, "no such encoding");
    }
}

/* False: the script asks for the size only. */
static bool check_room(struct vm_context *context, const struct vm_arg *out, size_t size)
{
    if (out->length > 0 && out->length < size) {
        vm_helper_fault(context, "output is too small");
    }
    return out->length > 0;
}

/* ---- base64 ---- */

static size_t base64_size(size_t bytes, bool padded)
{
    size_t rest = bytes % 3;
    size_t tail = rest == 0 ? 0 : padded ? 4 : rest + 1;

    return bytes / 3 * 4 + tail;
}

uint64_t host_zs_base64_encode(struct vm_context *context, const struct vm_arg arg[5])
{
    bool padded = (arg[4].value & BASE64_NO_PAD) == 0;
    const uint8_t *in = arg[0].data;
    uint8_t *out = arg[2].data;
    size_t len = arg[0].length;
    size_t size = base64_size(len, padded);
    const char *alphabet;

    check_selector(context, arg[4].value, BASE64_COUNT);
    if (!check_room(context, &arg[2], size)) {
        return size;
    }
    alphabet = alphabets[(arg[4].value & BASE64_URL) != 0];
    for (size_t i = 0, at = 0; i < len; i += 3) {
        uint32_t group = (uint32_t)in[i] << 16;
        size_t digits = len - i >= 3 ? 4 : len - i + 1;

        group |= len - i > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        group |= len - i > 2 ? in[i + 2] : 0;
        for (size_t k = 0; k < 4 && at < size; k++) {
            out[at++] = k < digits ? (uint8_t)alphabet[group >> (18 - 6 * k) & 63] : '=';
        }
    }
    return size;
}

/* The values of digits; 255 for what is none. */
static void base64_values(const char *alphabet, uint8_t values[256])
{
    memset(values, 255, 256);
    for (uint8_t i = 0; i < 64; i++) {
        values[(uint8_t)alphabet[i]] = i;
    }
}

/* Digits before the padding; SIZE_MAX when that is not as the variant wants it. */
static size_t base64_digits(const uint8_t *text, size_t len, bool padded)
{
    size_t digits = len;

    if (!padded) {
        return len % 4 == 1 ? SIZE_MAX : len;
    }
    if (len % 4 != 0) {
        return SIZE_MAX;
    }
    while (digits > 0 && len - digits < 2 && text[digits - 1] == '=') {
        digits--;
    }
    return digits;
}

static bool base64_valid(const uint8_t *text, size_t digits, const uint8_t values[256])
{
    unsigned unused = digits % 4 == 2 ? 15 : digits % 4 == 3 ? 3 : 0;

    for (size_t i = 0; i < digits; i++) {
        if (values[text[i]] == 255) {
            return false;
        }
    }
    return digits == 0 || (values[text[digits - 1]] & unused) == 0;
}

uint64_t host_zs_base64_decode_in_place(struct vm_context *context, const struct vm_arg arg[5])
{
    bool padded = (arg[2].value & BASE64_NO_PAD) == 0;
    uint8_t *text = arg[0].data;
    size_t digits;
    uint8_t values[256];
    uint32_t bits = 0;
    size_t at = 0;

    check_selector(context, arg[2].value, BASE64_COUNT);
    base64_values(alphabets[(arg[2].value & BASE64_URL) != 0], values);
    digits = base64_digits(text, arg[0].length, padded);
    if (digits == SIZE_MAX || !base64_valid(text, digits, values)) {
        return MALFORMED;
    }
    for (size_t i = 0; i < digits; i++) {
        bits = bits << 6 | values[text[i]];
        if (i % 4 != 0) {
            text[at++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    return at;
}

/* ---- hexadecimal ---- */

uint64_t host_zs_hex_encode(struct vm_context *context, const struct vm_arg arg[5])
{
    const char *digits = arg[4].value == HEX_UPPERCASE ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t len = arg[0].length;

    check_selector(context, arg[4].value, HEX_COUNT);
    if (!check_room(context, &arg[2], 2 * len)) {
        return 2 * len;
    }
    for (size_t i = 0; i < len; i++) {
        arg[2].data[2 * i] = (uint8_t)digits[arg[0].data[i] >> 4];
        arg[2].data[2 * i + 1] = (uint8_t)digits[arg[0].data[i] & 15];
    }
    return 2 * len;
}

uint64_t host_zs_hex_decode_in_place(struct vm_context *context, const struct vm_arg arg[5])
{
    uint8_t *text = arg[0].data;
    size_t len = arg[0].length;

    (void)context;
    if (len % 2 != 0) {
        return MALFORMED;
    }
    for (size_t i = 0; i < len; i++) {
        if (char_hex((char)text[i]) < 0) {
            return MALFORMED;
        }
    }
    for (size_t i = 0; i < len / 2; i++) {
        text[i] = (uint8_t)(char_hex((char)text[2 * i]) << 4 | char_hex((char)text[2 * i + 1]));
    }
    return len / 2;
}
