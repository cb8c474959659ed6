/* SPDX-License-Identifier: Apache-2.0 */
/* The fingerprint of a ClientHello: of any bytes it has its form or is empty, and GREASE in front
 * of the ciphers does not change it. Input: the body of the message. */
#include "fuzz/fuzz.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "server/ja4.h"

static bool is_hash(const char *text)
{
    return strspn(text, "0123456789abcdef") == 12;
}

static void check_form(const char *text)
{
    check(strlen(text) == JA4_BYTES - 1);
    check(text[0] == 't' && (text[3] == 'd' || text[3] == 'i'));
    check(strspn(text + 4, "0123456789") >= 4);
    check(text[10] == '_' && is_hash(text + 11) && text[23] == '_' && is_hash(text + 24));
}

/* The same message with one cipher more, GREASE; NULL when it has no room or no ciphers. */
static char *with_grease(const uint8_t *data, size_t size)
{
    size_t at = size > 34 ? 35 + (size_t)data[34] : size;
    if (at + 2 > size || (data[at] == 0xff && data[at + 1] >= 0xfe)) {
        return NULL;
    }
    unsigned bytes = (unsigned)data[at] << 8 | data[at + 1];
    char *copy = malloc(size + 2);
    check(copy != NULL);
    memcpy(copy, data, at);
    copy[at] = (char)((bytes + 2) >> 8);
    copy[at + 1] = (char)(bytes + 2);
    copy[at + 2] = 0x4a;
    copy[at + 3] = 0x4a;
    memcpy(copy + at + 4, data + at + 2, size - at - 2);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[JA4_BYTES];
    char other[JA4_BYTES];
    if (!ja4_fingerprint((struct span){(const char *)data, size}, text)) {
        check(text[0] == '\0');
        return 0;
    }
    check_form(text);
    char *greased = with_grease(data, size);
    if (greased != NULL) {
        check(ja4_fingerprint((struct span){greased, size + 2}, other));
        check(strcmp(text, other) == 0);
        free(greased);
    }
    return 0;
}
