/* SPDX-License-Identifier: Apache-2.0 */
/* See server/compress.h. One call of a library for each coding, into memory of the largest size
 * that can come out. */
#include "server/compress.h"

#include <brotli/encode.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

enum {
    GZIP_WINDOW_BITS = 15 + 16, /* + 16: a gzip header, not that of zlib */
    GZIP_MEMORY = 9,
    GZIP_BOUND_MORE = 64, /* deflateBound counts it, compressBound does not */
    ZSTD_LEVEL = 19,      /* those above need more memory to read */
};

static bool starts_with(struct span text, struct span start)
{
    return text.len >= start.len && memcmp(text.base, start.base, start.len) == 0;
}

static bool ends_with(struct span text, struct span end)
{
    return text.len >= end.len && memcmp(text.base + text.len - end.len, end.base, end.len) == 0;
}

bool compress_type(struct span type)
{
    static const struct span types[] = {
        SPAN("application/json"),
        SPAN("application/json5"),
        SPAN("application/jsonl"),
        SPAN("application/rtf"),
        SPAN("application/toml"),
        SPAN("application/vnd.apple.mpegurl"),
        SPAN("application/wasm"),
        SPAN("application/xml"),
        SPAN("application/yaml"),
        SPAN("application/vnd.ms-fontobject"),
        SPAN("font/collection"),
        SPAN("font/otf"),
        SPAN("font/ttf"),
        SPAN("image/bmp"),
        SPAN("image/vnd.microsoft.icon"),
    };
    if (starts_with(type, SPAN("text/")) || ends_with(type, SPAN("+xml")) ||
        ends_with(type, SPAN("+json"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (span_equal(type, types[i])) {
            return true;
        }
    }
    return false;
}

static bool to_gzip(const uint8_t *in, size_t bytes, uint8_t *out, size_t *out_bytes)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    z.next_in = (Bytef *)(uintptr_t)in;
    z.avail_in = (uInt)bytes;
    z.next_out = out;
    z.avail_out = (uInt)*out_bytes;
    bool fine = deflate(&z, Z_FINISH) == Z_STREAM_END;
    *out_bytes = z.total_out;
    deflateEnd(&z);
    return fine;
}

static bool to_zstd(const uint8_t *in, size_t bytes, uint8_t *out, size_t *out_bytes)
{
    size_t made = ZSTD_compress(out, *out_bytes, in, bytes, ZSTD_LEVEL);
    *out_bytes = made;
    return !ZSTD_isError(made);
}

static bool to_brotli(const uint8_t *in, size_t bytes, uint8_t *out, size_t *out_bytes)
{
    return BrotliEncoderCompress(BROTLI_MAX_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE,
                                 bytes, in, out_bytes, out) == BROTLI_TRUE;
}

static size_t bound(enum encoding coding, size_t bytes)
{
    switch (coding) {
    case ENCODING_GZIP: return compressBound(bytes) + GZIP_BOUND_MORE;
    case ENCODING_ZSTD: return ZSTD_compressBound(bytes);
    case ENCODING_BR: return BrotliEncoderMaxCompressedSize(bytes);
    default: return 0;
    }
}

uint8_t *compress_bytes(enum encoding coding, const uint8_t *in, size_t bytes, size_t *out_bytes)
{
    bool fine = false;
    *out_bytes = bound(coding, bytes);
    uint8_t *out = malloc(*out_bytes);
    if (out == NULL) {
        return NULL;
    }
    switch (coding) {
    case ENCODING_GZIP: fine = to_gzip(in, bytes, out, out_bytes); break;
    case ENCODING_ZSTD: fine = to_zstd(in, bytes, out, out_bytes); break;
    case ENCODING_BR: fine = to_brotli(in, bytes, out, out_bytes); break;
    default: break;
    }
    if (!fine) {
        free(out);
        return NULL;
    }
    return out;
}
