/* SPDX-License-Identifier: Apache-2.0 */
/* What a script includes. This file is the manual of script authors, too.
 *
 * A script is a C file in `.zeroserve/scripts/` of a site. The server runs it on every request,
 * before it looks for a file:
 *
 *   #include <zeroserve.h>
 *
 *   ZS_ENTRY zs_u64 entry(void)
 *   {
 *       char path[256];
 *       zs_req_path(path, sizeof path);
 *       if (zs_strcmp(path, "/hello") == 0)
 *           zs_respond(200, ZS_STR("Hello!\n"));
 *       return 0;
 *   }
 *
 * Scripts run in byte order of their file names. The chain ends after a script that responded or
 * aborted; when none did, the file is served. What the entry returns is ignored.
 *
 * A script has 64 KiB of stack and its own variables, which start from their initial values on
 * every request: nothing a request leaves behind is seen by the next. There is no libc; the
 * functions below are all there is. A script that reads or writes outside its memory, passes a
 * helper something impossible, or uses up its processor time is ended, its request is answered 500,
 * and the log says where it stood. Nothing else is harmed.
 *
 * A script is plain C or C++ and needs nothing but this file. `zeroserve --pack` compiles it; by
 * hand it is
 *   clang -target bpf -mcpu=v3 -O2 -g -fno-builtin -c 10-hello.c
 * Without -fno-builtin clang refuses to call memcpy, memset and memmove where it cannot expand them.
 */
#ifndef ZEROSERVE_H
#define ZEROSERVE_H

/* ---- types ---- */

typedef __INT8_TYPE__ int8_t;
typedef __INT16_TYPE__ int16_t;
typedef __INT32_TYPE__ int32_t;
typedef __INT64_TYPE__ int64_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __SIZE_TYPE__ size_t;
typedef long ssize_t;

typedef uint8_t zs_u8;
typedef uint16_t zs_u16;
typedef uint32_t zs_u32;
typedef uint64_t zs_u64;
typedef int8_t zs_s8;
typedef int16_t zs_s16;
typedef int32_t zs_s32;
typedef int64_t zs_s64;

/* ---- words ---- */

/* A text and its length, for the many helpers that take both: zs_respond(200, ZS_STR("fine")). */
#define ZS_STR(s) (s), ZS_LENGTH_(s)
/* The same with the final NUL counted. */
#define ZS_STR_WITH_NULL(s) (s), (ZS_LENGTH_(s) + 1)
/* The length of a literal is known when the script is compiled, with -fno-builtin too. */
#define ZS_LENGTH_(s)                                                                              \
    (__builtin_constant_p(__builtin_strlen(s)) ? (size_t)__builtin_strlen(s) : zs_strlen(s))

#define ZS_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ZS_MAX(a, b) ((a) > (b) ? (a) : (b))

#define ZS_SECTION(name) __attribute__((section(name)))
#define ZS_INLINE        __attribute__((always_inline))
#define ZS_MAYBE_UNUSED  __attribute__((unused))

#ifdef __cplusplus
#define ZS_LINKAGE_ extern "C"
#define ZS_NOTHROW_ throw()
#else
#define ZS_LINKAGE_
#define ZS_NOTHROW_
#endif

/* ---- entries ---- */

/* Runs on every request: `ZS_ENTRY zs_u64 entry(void)`. */
#define ZS_ENTRY ZS_SECTION("zeroserve.request")

/* Runs on every TLS handshake, before anything is answered: `ZS_TLS_ENTRY zs_u64 hello(void)`.
 * There is no request yet; zs_connection_info and zs_req_peer tell who asks for which host,
 * zs_abort refuses. */
#define ZS_TLS_ENTRY ZS_SECTION("zeroserve.tls")

/* A function that other scripts call by its name, `ZS_CALL_ENTRY(greet, input) { … }`: `input` is a
 * handle, and so is the result. Response hooks are such functions, too. */
#define ZS_CALL_ENTRY(name, input)                                                                 \
    static zs_s64 zs_call_body_##name##_(zs_s64 input);                                            \
    ZS_LINKAGE_ zs_s64 zs_call_entry_##name##_(const zs_s64 *handle);                              \
    ZS_SECTION("zeroserve.call." #name) zs_s64 zs_call_entry_##name##_(const zs_s64 *handle)       \
    {                                                                                              \
        return zs_call_body_##name##_(*handle);                                                    \
    }                                                                                              \
    static zs_s64 zs_call_body_##name##_(zs_s64 input)

/* Runs once when the site is loaded, before any request: `ZS_INIT_ENTRY(setup) { … return 0; }`. If
 * it is ended, the site is not served. */
#define ZS_INIT_ENTRY(name)                                                                        \
    static zs_s64 zs_init_body_##name##_(void);                                                    \
    ZS_LINKAGE_ zs_s64 zs_init_entry_##name##_(void);                                              \
    ZS_SECTION("zeroserve.init." #name) zs_s64 zs_init_entry_##name##_(void)                       \
    {                                                                                              \
        return zs_init_body_##name##_();                                                           \
    }                                                                                              \
    static zs_s64 zs_init_body_##name##_(void)

/* ---- constants ---- */

#define ZS_BASE64_STANDARD        0
#define ZS_BASE64_STANDARD_NO_PAD 1
#define ZS_BASE64_URL             2
#define ZS_BASE64_URL_NO_PAD      3

#define ZS_HEX_LOWERCASE 0
#define ZS_HEX_UPPERCASE 1

#define ZS_JSON_NULL   0
#define ZS_JSON_BOOL   1
#define ZS_JSON_NUMBER 2
#define ZS_JSON_STRING 3
#define ZS_JSON_ARRAY  4
#define ZS_JSON_OBJECT 5

/* What zs_rate_limit gives. It does not run out of buckets: the key that was not seen for longest
 * makes room. Scripts for servers that do may compare with the last one. */
#define ZS_RATE_LIMIT_ALLOWED               0
#define ZS_RATE_LIMIT_EXCEEDED_SECOND       1
#define ZS_RATE_LIMIT_EXCEEDED_MINUTE       2
#define ZS_RATE_LIMIT_EXCEEDED_HOUR         3
#define ZS_RATE_LIMIT_EXCEEDED_BUCKET_LIMIT 4

/* What zs_rate_limit_info tells: of `limit` in a window, how many are left, the time until there is
 * one (0 when there is), and the time until all are there. */
struct zs_rate_info {
    zs_u64 remaining;
    zs_u64 retry_ms;
    zs_u64 reset_ms;
};

/* ---- helpers: functions of the server ---- */

#ifdef __cplusplus
extern "C" {
#endif

#define ZS_HELPER(returns, name, parameters, kinds, text)                                          \
    extern returns name parameters ZS_NOTHROW_;
#include "helpers.def"
#undef ZS_HELPER

#ifdef __cplusplus
}
#endif

/* ---- texts: functions that become part of the script ---- */

#define ZS_TEXT_FUNCTION_ static __inline__ ZS_MAYBE_UNUSED ZS_INLINE

/* In a loop: keeps compilers from turning it into a call of strlen or memset, which clang refuses
 * to make for eBPF. */
#define ZS_KEEP_LOOP_ __asm__ __volatile__("")

/* Length without the NUL; of a literal it is a constant. */
ZS_TEXT_FUNCTION_ size_t zs_strlen(const char *s)
{
    size_t n = 0;

    if (__builtin_constant_p(__builtin_strlen(s))) {
        return __builtin_strlen(s);
    }
    while (s[n] != '\0') {
        n++;
        ZS_KEEP_LOOP_;
    }
    return n;
}

/* Below, equal to or above 0 as `a` sorts before, with or after `b`, looking at n bytes at most. */
ZS_TEXT_FUNCTION_ int zs_strncmp(const char *a, const char *b, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        unsigned char x = (unsigned char)a[i];
        unsigned char y = (unsigned char)b[i];
        if (x != y)
            return (int)x - (int)y;
        if (y == '\0')
            return 0;
    }
    return 0;
}

/* Beside a short literal a comparison for each octet and no loop: compilers unroll what has a
 * constant length. */
ZS_TEXT_FUNCTION_ int zs_strcmp(const char *a, const char *b)
{
    if (__builtin_constant_p(__builtin_strlen(b))) {
        return zs_strncmp(a, b, __builtin_strlen(b) + 1);
    }
    return zs_strncmp(a, b, (size_t)-1);
}

/* Copies `src` with its NUL; returns the address of the NUL in `dst`, where more can be added. */
ZS_TEXT_FUNCTION_ char *zs_stpcpy(char *dst, const char *src)
{
    while ((*dst = *src++) != '\0')
        dst++;
    return dst;
}

ZS_TEXT_FUNCTION_ char *zs_strcpy(char *dst, const char *src)
{
    zs_stpcpy(dst, src);
    return dst;
}

/* Copies n bytes at most and fills what is left of n with NULs. A longer `src` leaves none. */
ZS_TEXT_FUNCTION_ char *zs_strncpy(char *dst, const char *src, size_t n)
{
    size_t i;

    for (i = 0; i < n && src[i] != '\0'; i++)
        dst[i] = src[i];
    for (; i < n; i++) {
        dst[i] = '\0';
        ZS_KEEP_LOOP_;
    }
    return dst;
}

/* The last `c` in `s`, its NUL counting, or NULL. */
ZS_TEXT_FUNCTION_ char *zs_strrchr(const char *s, int c)
{
    const char *last = 0;

    for (;; s++) {
        if (*s == (char)c)
            last = s;
        if (*s == '\0')
            return (char *)last;
    }
}

/* Writes `value` in decimal with a NUL. Returns the number of digits, or -1 when they do not fit.
 */
ZS_TEXT_FUNCTION_ int zs_utoa10(unsigned int value, char *out, size_t out_len)
{
    size_t digits = 1;
    size_t i;
    unsigned int rest;

    for (rest = value / 10; rest != 0; rest /= 10)
        digits++;
    if (out == 0 || out_len < digits + 1)
        return -1;
    out[digits] = '\0';
    for (i = digits; i > 0; i--) {
        out[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    return (int)digits;
}

#endif
