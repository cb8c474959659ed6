/* SPDX-License-Identifier: Apache-2.0 */
/* The path that files are looked up by and scripts see: one name for one resource, however a client
 * writes it. Decoding comes before `.` and `..` are resolved, so %2e%2e is `..` too; a decoded '/'
 * would move the borders of segments and is refused. */
#include "server/exchange.h"

#include "server/chars.h"

/* Decodes raw[0..len) to `out`. False: malformed escape, encoded '/' or NUL. */
static bool decode_segment(const char *raw, size_t len, char *out, size_t *out_len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = raw[i];
        if (c == '%') {
            int high = len - i > 2 ? char_hex(raw[i + 1]) : -1;
            int low = len - i > 2 ? char_hex(raw[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
            if (c == '/') {
                return false;
            }
        }
        if (c == '\0') {
            return false;
        }
        out[n++] = c;
    }
    *out_len = n;
    return true;
}

/* Where the last segment of out[0..len) begins, at its '/'. */
static size_t parent_of(const char *out, size_t len)
{
    const char *slash = memrchr(out, '/', len);
    return (size_t)(slash - out);
}

bool path_normalize(struct span raw, char *out, size_t *out_len)
{
    if (raw.len == 0 || raw.base[0] != '/') {
        return false;
    }
    const char *end = raw.base + raw.len;
    size_t n = 0; /* out[0..n) is "" or "/a/b", never longer than what was read so far */
    bool final_slash = false;
    for (const char *at = raw.base; at < end;) {
        at++;
        const char *stop = memchr(at, '/', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        size_t len;
        char *segment = out + n + 1;
        if (!decode_segment(at, (size_t)(stop - at), segment, &len)) {
            return false;
        }
        final_slash = true;
        if (len == 2 && segment[0] == '.' && segment[1] == '.') {
            if (n == 0) {
                return false;
            }
            n = parent_of(out, n);
        } else if (len > 0 && !(len == 1 && segment[0] == '.')) {
            out[n] = '/';
            n += 1 + len;
            final_slash = false;
        }
        at = stop;
    }
    if (final_slash) {
        out[n++] = '/';
    }
    *out_len = n;
    return true;
}
