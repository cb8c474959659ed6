#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# zs-vm from the outside: results, exit statuses, messages.
# usage: zs-vm.sh BUILD_FOLDER
set -u
build=$(cd "${1:?usage: zs-vm.sh BUILD_FOLDER}" && pwd)
vm=$build/zs-vm
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0
failed=0

say() { # say RESULT NAME
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "status $status; standard output:"
        cat out
        echo "standard error:"
        cat err
    fi
    echo "$1 $2"
}

# expect STATUS STDOUT STDERR-PART ARGUMENT...: exit status, exact standard output ("*": any), and
# a part of standard error ("": it must be empty).
expect() {
    want=$1 out=$2 part=$3
    shift 3
    timeout 60 "$vm" "$@" >out 2>err
    status=$?
    result=ok
    [ "$status" = "$want" ] || result=FAIL
    [ "$out" = '*' ] || [ "$(cat out)" = "$out" ] || result=FAIL
    if [ -z "$part" ]; then
        [ ! -s err ] || result=FAIL
    else
        grep -qF -- "$part" err || result=FAIL
    fi
    say "$result" "zs-vm $*"
}

# shows PATTERN ARGUMENT...: succeeds and prints a line that matches.
shows() {
    pattern=$1
    shift
    timeout 60 "$vm" "$@" >out 2>err
    status=$?
    result=ok
    [ "$status" = 0 ] || result=FAIL
    grep -qE -- "$pattern" out || result=FAIL
    say "$result" "zs-vm $*: $pattern"
}

cat >sum.c <<'SOURCE'
typedef unsigned long long u64;
static u64 calls;

static __attribute__((noinline)) u64 add(u64 sum, unsigned char byte)
{
    return sum * 3 + byte;
}

__attribute__((section("test.sum"))) u64 sum(const unsigned char *bytes, u64 count)
{
    u64 sum = ++calls;
    for (u64 i = 0; i < count; i++) {
        sum = add(sum, bytes[i]);
    }
    return sum;
}

__attribute__((section("test.other"))) u64 other(void)
{
    return 0x1122334455667788;
}

__attribute__((section("test.crash"))) u64 crash(void)
{
    return *(volatile u64 *)16;
}

__attribute__((section("test.hang"))) u64 hang(void)
{
    for (;;) {
        calls++;
        __asm__ volatile("" ::: "memory");
    }
}
SOURCE
clang -target bpf -O2 -mcpu=v3 -c sum.c -o sum.o || exit 1
printf 'abc' >memory
: >empty
printf '\267\000\000\000\052\000\000\000\225\000\000\000\000\000\000\000' >raw.bin

for engine in jit interp; do
    expect 0 0x1 '' run --engine $engine sum.o
    expect 0 0x50d '' run --engine $engine --mem memory sum.c
    expect 0 0x1 '' run --engine $engine --mem empty sum.o
    expect 0 0x1122334455667788 '' run --engine $engine --entry test.other sum.o
    expect 0 0x2a '' run --engine $engine raw.bin
    expect 1 '' 'zs-vm: sum.o: read of 0x10 in crash, instruction ' run --engine $engine --entry crash sum.o
    expect 1 '' 'zs-vm: sum.o: CPU budget spent' run --engine $engine --budget-ms 20 --entry hang sum.o
    expect 0 0x50d ' ns/run' run --engine $engine --repeat 11 --mem memory sum.o
done

# Compiled with -g: faults and listings name the source line.
place=sum.c:$(grep -n 'u64 \*)16' sum.c | cut -d: -f1)
for engine in jit interp; do
    expect 1 '' "zs-vm: sum.c: read of 0x10 in crash ($place), instruction " run --engine $engine --entry crash sum.c
done
expect 1 '' "; $place" run --trace --entry crash sum.c
shows "^; $place\$" dis sum.c
shows "^; $place\$" jit sum.c
shows '^  lines      [0-9]+$' inspect sum.c
shows '^  lines      none \(compile with -g\)$' inspect sum.o
# Three bytes: the line of add runs three times in each run, that of crash never.
mul=$(grep -n 'sum \* 3' sum.c | cut -d: -f1)
expect 0 0x50d "sum.c:$mul in add" run --profile --mem memory sum.c
expect 0 0x50d '  add' run --profile --mem memory sum.o
expect 1 '' "sum.c:${place#*:} in crash" run --profile --entry crash sum.c
mkdir -p below && cp sum.c below
expect 0 0x50d ' ns/run' run --coverage info --repeat 2 --mem memory below/sum.c
status=0
result=ok
for line in SF:below/sum.c "DA:$mul,6" "DA:${place#*:},0" FNDA:6,add FNDA:0,crash end_of_record; do
    grep -qx "$line" info || { result=FAIL; cp info out; }
done
say $result 'coverage names lines that ran and lines that did not'
expect 2 '*' 'no-such-folder/info: No such file' run --coverage no-such-folder/info sum.c
expect 2 '' '--profile needs --engine interp' run --profile --engine jit sum.o
expect 2 '' '--trace does not go with' run --profile --trace sum.o
expect 0 0x50d 'call add' run --trace --mem memory sum.o
expect 1 '' 'read of 0x10' run --trace --entry crash sum.o
expect 2 '' 'needs --engine interp' run --trace --engine jit sum.o
expect 2 '' 'no entry nowhere' run --entry nowhere sum.o
expect 2 '' 'want jit or interp' run --engine llvm sum.o
expect 2 '' 'want a number' run --repeat 0 sum.o
expect 2 '' 'want a number' run --budget-ms 1x sum.o
expect 2 '' 'unrecognized option' run --no-such-option sum.o
expect 2 '' 'unrecognized option' check --repeat 3 sum.o
expect 2 '' 'want one FILE' run
expect 2 '' 'want one FILE' run sum.o sum.o
expect 2 '' 'no such command' walk sum.o
expect 2 '' 'usage:' 
expect 2 '' 'zs-vm: missing.o: No such file' run missing.o
expect 2 '' 'zs-vm: missing.c: No such file' run missing.c
expect 2 '' 'No such file' run --mem missing sum.o
expect 2 '' 'zs-vm: memory: not an ELF object file' run memory
expect 2 '' 'zs-vm: empty: not an ELF object file' check empty

echo 'int entry(void) { return no_such_name; }' >bad.c
expect 2 '' 'no_such_name' check bad.c
echo 'extern int no_such_helper(void); int entry(void) { return no_such_helper(); }' >bad.c
expect 2 '' 'zs-vm: bad.c: section .text+0x0: call to undefined symbol no_such_helper' check bad.c
printf '\377\000\000\000\000\000\000\000' >bad.bin
expect 2 '' 'zs-vm: bad.bin: ' check bad.bin
head -c 200 sum.o >short.o
expect 2 '' 'zs-vm: short.o: section table is outside the file' inspect short.o

shows '^sum\.o: ok, [0-9]+ instructions, [0-9]+ functions$' check sum.o
shows '^  test\.sum +sum +instruction [0-9]+$' inspect sum.o
shows '^  data +8 bytes at 0x10000$' inspect sum.o
shows '^ +[0-9]+  b7 00 00 00 2a 00 00 00  mov r0, 42$' dis raw.bin
shows '^add:$' dis sum.o
shows '^sum  entry of test\.sum:$' dis sum.o
shows 'call add$' dis sum.o
shows '^     0  mov r0, 42$' jit raw.bin
shows '^ +[0-9a-f]{6}  b8 2a 00 00 00 +mov eax, 0x2a$' jit raw.bin
shows '^ +[0-9a-f]{6}  c3 +ret$' jit raw.bin
shows "^; $place  +return .*16;\$" dis --source sum.c
shows "^; $place  +return .*16;\$" jit --source sum.c
shows '^add:$' dis --source sum.o
cp sum.c gone.c && clang -target bpf -O2 -g -mcpu=v3 -c gone.c && rm gone.c
shows "^; gone.c:${place#*:}\$" dis --source gone.o
expect 2 '' 'unrecognized option' run --source sum.o
shows '^usage: zs-vm run' --help
shows '^zs-vm [0-9]+\.[0-9]+' --version

cat >script.c <<'SOURCE'
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[64];
    zs_req_path(path, sizeof path);
    if (path[1] == 'b') {
        return *(volatile zs_u64 *)8;
    }
    if (path[1] == 'a') {
        zs_respond(403, ZS_STR("no\n"));
    }
    return 0;
}
SOURCE
printf 'GET /admin HTTP/1.1\nHost: example.org\n' >admin.http
printf 'GET /bug HTTP/1.1\r\nHost: example.org\r\n\r\n' >bug.http
printf 'GET /open HTTP/1.1\r\nHost: example.org\r\n\r\n' >open.http
printf 'GET\r\n\r\n' >malformed.http
for engine in jit interp; do
    shows '^HTTP/1\.1 403 ' run --engine $engine --request admin.http script.c
    shows '^no$' run --engine $engine --request admin.http script.c
    shows '^HTTP/1\.1 0 passed$' run --engine $engine --request open.http script.c
    expect 1 '*' 'read of 0x8 in entry (script.c:8), instruction' run --engine $engine --request bug.http script.c
done
expect 2 '' 'zs-vm: the request would be answered 400' run --request malformed.http script.c
shows '^  zs_respond\(number, read, length\): answers the request' inspect script.c
expect 2 '' '--request does not go with' run --request open.http --repeat 2 script.c
expect 1 '' 'run it on a request with --request FILE' run script.c

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
