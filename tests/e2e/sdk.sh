#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The header for scripts compiles alone: as C of several standards, as C++, for this machine and for
# eBPF, without a warning; and the objects name no function the server does not have.
# usage: sdk.sh BUILD_FOLDER
set -u
build=${1:?usage: sdk.sh BUILD_FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

check() { # check NAME COMMAND...: one line, and what the command said when it failed
    name=$1
    shift
    if "$@" >"$work/output" 2>&1; then
        echo "ok   $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        sed 's/^/     /' "$work/output"
        failed=$((failed + 1))
    fi
}

if [ -x "$build/zeroserve" ]; then
    "$build/zeroserve" --dump-sdk >"$work/zeroserve.h"
else
    sed -e "/#include \"helpers.def\"/{r $root/sdk/helpers.def" -e 'd}' "$root/sdk/zeroserve.h" \
        >"$work/zeroserve.h"
fi

# One script that touches everything the header defines.
cat >"$work/script.c" <<'SCRIPT'
#include <zeroserve.h>

static const char *const names[] = {"one", "two"};

ZS_ENTRY zs_u64 entry(void)
{
    char text[64], copy[64];
    zs_u8 random[8];
    zs_s64 n = zs_req_path(text, sizeof text);

    zs_getrandom(random, sizeof random);
    zs_stpcpy(zs_strcpy(copy, "a") + 1, names[random[0] & 1]);
    zs_strncpy(text + 32, copy, 16);
    if (zs_strrchr(text, '/') == text && zs_strncmp(text, "/x", 2) == 0 && zs_strcmp(copy, text) != 0)
        zs_meta_set(ZS_STR("zs.response.header.x-test"), ZS_STR_WITH_NULL(copy));
#ifdef PLAIN
    memset(text, 0, (size_t)n);
    memmove(text, text + 1, (size_t)n);
    memcpy(text, copy, (size_t)n);
    if (memcmp(text, copy, (size_t)n) == 0)
        zs_log(ZS_STR("equal\n"));
#endif
    if (zs_memcmp(text, copy, (size_t)n) == 0)
        zs_memcpy(copy, zs_memset(text, 'x', 16), 16);
    if (zs_utoa10((unsigned)zs_now_ms(), copy, ZS_MIN(sizeof copy, (size_t)n)) > 0)
        zs_respond(200, ZS_STR(copy));
    return ZS_MAX(zs_strlen(copy), ZS_BASE64_URL_NO_PAD + ZS_HEX_UPPERCASE + ZS_JSON_OBJECT);
}

ZS_TLS_ENTRY zs_u64 hello(void)
{
    return 0;
}

ZS_CALL_ENTRY(greet, input)
{
    return input;
}

ZS_INIT_ENTRY(setup)
{
    return -1;
}
SCRIPT
cp "$work/script.c" "$work/script.cc"
printf '#include <stdint.h>\n#include <string.h>\n#include <zeroserve.h>\nint use(void);\n' >"$work/libc.c"
printf 'int use(void) { return (int)zs_strlen("x"); }\n' >>"$work/libc.c"
cp "$work/libc.c" "$work/libc.cc"

strict="-Wall -Wextra -Werror -I$work -c -o $work/out.o"
for std in c99 gnu11 c17; do
    check "gcc -std=$std" gcc -std=$std $strict "$work/script.c"
    check "clang -std=$std for bpf" clang -target bpf -std=$std -O2 -g $strict "$work/script.c"
done
check "gcc as C++" g++ $strict "$work/script.cc"
check "gcc as C beside libc headers" gcc $strict "$work/libc.c"
check "gcc as C++ beside libc headers" g++ $strict "$work/libc.cc"
check "clang as C++ for bpf" clang++ -target bpf -O2 $strict "$work/script.cc"
for cpu in v1 v2 v3; do
    for level in 1 2 s; do
        check "clang -mcpu=$cpu -O$level for bpf" \
            clang -target bpf -mcpu=$cpu -O$level $strict "$work/script.c"
        check "clang -mcpu=$cpu -O$level -fno-builtin for bpf" \
            clang -target bpf -mcpu=$cpu -O$level -fno-builtin -DPLAIN $strict "$work/script.c"
    done
done

# Every name the object asks for is a row of helpers.def.
known() {
    clang -target bpf -O2 -fno-builtin -DPLAIN -I"$work" -c -o "$work/out.o" "$work/script.c" || return 1
    nm -u "$work/out.o" | awk '{print $NF}' | while read -r symbol; do
        grep -q "^ZS_HELPER([a-z_0-9 *]*, $symbol," "$root/sdk/helpers.def" ||
            { echo "unknown: $symbol"; return 1; }
    done
}
check "the object names helpers only" known

five() { # five kinds in each row
    rows=$(grep -c '^ZS_HELPER(' "$root/sdk/helpers.def")
    kinds=$(grep -cE '\([A-Z0-9]+(, [A-Z0-9]+){4}\), "' "$root/sdk/helpers.def")
    echo "$rows rows, $kinds with five kinds"
    [ "$rows" -gt 0 ] && [ "$rows" -eq "$kinds" ]
}
check "every helper has five kinds" five

# Texts compare as the C library has it, literals among them; beside a literal without a loop.
cat >"$work/compare.c" <<'SCRIPT'
#include <zeroserve.h>

#define SIGN(x) ((x) > 0 ? 1 : (x) < 0 ? -1 : 0)
#define SAME(a, b, literal, sign)                                                                   \
    (SIGN(zs_strcmp(a, literal)) == (sign) && SIGN(zs_strcmp(a, b)) == (sign) &&                    \
     SIGN(zs_strcmp(b, a)) == -(sign) && SIGN(zs_strncmp(a, literal, 64)) == (sign))
#ifdef LITERAL
ZS_ENTRY zs_u64 entry(void)
{
    char text[16];
    zs_getrandom(text, sizeof text);
    return zs_strcmp(text, "/private") != 0;
}
#else
#define COUNT(a, literal, sign)                                                                     \
    do {                                                                                            \
        char x[16], y[16];                                                                          \
        __asm__ __volatile__("" : : "r"(zs_strcpy(x, a)), "r"(zs_strcpy(y, literal)) : "memory");   \
        same += SAME(x, y, literal, sign);                                                          \
    } while (0)

ZS_ENTRY zs_u64 entry(void)
{
    zs_u64 same = 0;

    COUNT("", "", 0);
    COUNT("a", "", 1);
    COUNT("", "a", -1);
    COUNT("abc", "abc", 0);
    COUNT("abc", "abd", -1);
    COUNT("abd", "abc", 1);
    COUNT("abc", "ab", 1);
    COUNT("ab", "abc", -1);
    COUNT("\377", "a", 1);
    return same;
}
#endif
SCRIPT
compares() {
    clang -target bpf -O2 $strict "$work/compare.c" || return 1
    "$build/zs-vm" run "$work/out.o" | tee "$work/r0"
    grep -qx 0x9 "$work/r0" || return 1
    clang -target bpf -O2 -DLITERAL $strict "$work/compare.c" || return 1
    "$build/zs-vm" dis "$work/out.o" >"$work/dis" || return 1
    ! grep -qE -- ' -[0-9]+ ->' "$work/dis"
}
check "texts compare" compares

pages() { # the example site's reference is what reference.py makes of the lists now
    mkdir -p "$work/tree/examples" "$work/tree/sdk" "$work/tree/vm"
    cp "$root/examples/reference.py" "$work/tree/examples"
    cp "$root/sdk/helpers.def" "$work/tree/sdk"
    cp "$root/vm/isa.def" "$work/tree/vm"
    python3 "$work/tree/examples/reference.py"
    for part in api isa; do
        diff -r "$work/tree/examples/site/$part" "$root/examples/site/$part" || return 1
    done
}
check "the reference pages of the example site are of now" pages

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
