#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# zs-vm for people who look for a mistake: what a fault tells, breakpoints and the commands at them.
. "$(dirname "$0")/common.bash"
vm=$build/zs-vm
cd "$work" || exit 1

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

__attribute__((section("test.crash"))) u64 crash(const unsigned char *bytes, u64 count)
{
    return *(volatile u64 *)(count * 8) + count;
}
SOURCE
printf 'abc' >memory

# told NAME STATUS ARGUMENT...: runs zs-vm on the commands in $commands; its exit status is STATUS;
# leaves what it says in $said and its result in $printed.
told() {
    local name=$1 wanted=$2
    shift 2
    printf '%b' "${commands:-}" | timeout 60 "$vm" "$@" >out 2>err
    status=$?
    said=$(cat err)
    printed=$(cat out)
    is "$name: exit status" $status "$wanted"
}

# ---- faults

for engine in jit interp; do
    told "fault, $engine" 1 run --engine $engine --entry crash --mem memory sum.c
    like "fault, $engine: the line, with its text" "$said" '^sum\.c:21: +return \*\(volatile u64'
    like "fault, $engine: the instruction has an arrow" "$said" '^ -> +[0-9]+  ldxdw r[0-9], \[r[0-9]\+0\]$'
    like "fault, $engine: registers" "$said" 'r2 +0x3( |$)'
    like "fault, $engine: the address in a register" "$said" 'r[0-9] +0x18( |$)'
    like "fault, $engine: why" "$said" 'null pointer'
done
unlike "fault, interp: all registers" "$said" '\?'
mkdir -p elsewhere && clang -target bpf -O2 -g -mcpu=v3 -c sum.c -o elsewhere/sum.o
rm -f elsewhere/sum.c && mv sum.c hidden.c
told "fault without the source" 1 run --entry crash --mem memory elsewhere/sum.o
like "fault without the source: place" "$said" 'in crash \(sum\.c:21\)'
unlike "fault without the source: no text" "$said" 'volatile'
mv hidden.c sum.c

cat >script.c <<'SOURCE'
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    static volatile zs_u64 null;
    zs_log((const char *)null, 5);
    return 0;
}
SOURCE
printf 'GET / HTTP/1.1\r\nHost: example.org\r\n\r\n' >get.http
for engine in jit interp; do
    told "argument, $engine" 1 run --engine $engine --request get.http script.c
    like "argument, $engine: named" "$said" 'zs_log: argument 1 \(msg\): 0x0\.\.0x5 is not readable in entry \(script\.c:6\)'
    like "argument, $engine: registers" "$said" 'r1 +0x0 +r2 +0x5'
done

# ---- breakpoints

commands='bt\nc\n'
told 'a line' 0 run --break sum.c:14 --mem memory --entry sum sum.c
like 'a line: set' "$said" '^breakpoint 1 at sum\.c:14, instruction [0-9]+$'
like 'a line: reached' "$said" '^breakpoint 1, sum \(sum\.c:14\), instruction [0-9]+$'
like 'a line: source' "$said" '^   14 +sum = add\(sum, bytes\[i\]\);$'
like 'a line: input is shown' "$said" '^\(zs-vm\) bt$'
is 'a line: quits at the end of input' "$printed" ''

commands='bt\ndelete\ncontinue\n'
told 'a function' 0 run --break add --mem memory sum.c
like 'a function: who called' "$said" '^#1  sum \(sum\.c:14\), instruction [0-9]+$'
is 'a function: runs on' "$printed" 0x50d

commands='c\nc\nc\n'
told 'three times' 0 run --break add --mem memory sum.c
is 'three times: all stop' "$(grep -c '^breakpoint 1, add' err)" 3
is 'three times: result' "$printed" 0x50d

commands='next\nnext\nn\ns\nfin\nregs\nq\n'
told 'stepping' 0 run --break sum --mem memory sum.c
like 'stepping: next' "$said" '^sum \(sum\.c:11\)'
like 'stepping: into a function' "$said" '^add \(sum\.c:[46]\)'
like 'stepping: finish' "$said" '^returned 0x64 to sum \(sum\.c:1[34]\)'
like 'stepping: changed registers are marked' "$said" 'r[0-9]\* +0x'

commands='stepi\n\n\nnexti\ndis\nq\n'
told 'instructions' 0 run --break sum --mem memory sum.c
is 'instructions: an empty line repeats' "$(grep -c '^sum (sum' err)" 4
told 'an instruction by its number' 0 run --break 0 --mem memory sum.c
like 'an instruction by its number' "$said" '^breakpoint 1, add '

commands='mem r1 3\nmem 0x4000000+1 2\nx 0 8\nmem\nmem r1 99999\nmem r11\nq\n'
told 'memory' 0 run --break sum --mem memory sum.c
like 'memory: by register' "$said" '^0x04000000  61 62 63 +abc$'
like 'memory: sums' "$said" '^0x04000001  62 63 +bc$'
like 'memory: unmapped' "$said" '^0x0\.\.0x8 is not readable$'
is 'memory: usage' "$(grep -c '^mem ADDRESS' err)" 3

commands='list\nlist\nlist 1\nq\n'
told 'list' 0 run --break sum.c:14 --mem memory sum.c
like 'list: arrow' "$said" '^->   14  '
like 'list: goes on' "$said" '^     19  __attribute'
like 'list: a line' "$said" '^      1  typedef'

commands='b add\nb\nd 1\nd 7\nb sum.c:900\nb :6\nb nothing\nb 9999\nc\nc\n'
told 'breakpoints' 0 run --break sum --mem memory sum.c
like 'breakpoints: a second one' "$said" '^breakpoint 2 at add, instruction 0$'
like 'breakpoints: listed' "$said" '^  2  add, instruction 0, hits: 0$'
like 'breakpoints: no such number' "$said" '^no breakpoint 7$'
like 'breakpoints: no such line' "$said" 'sum\.c:900: no code at this line or below'
like 'breakpoints: a line of this file' "$said" '^breakpoint 1 at sum\.c:6'
like 'breakpoints: no such function' "$said" 'nothing: no such function'
like 'breakpoints: no such instruction' "$said" '9999: the program has [0-9]+ instructions'

commands='regs\nmem 0x4000000 3\nbt\nnext\nfrobnicate\nhelp\n'
told 'after a fault' 1 run --break sum --entry crash --mem memory sum.c
like 'after a fault: looking goes on' "$said" '^0x04000000  61 62 63 +abc'
like 'after a fault: running does not' "$said" '^the program has ended'
like 'after a fault: what is no command' "$said" '^frobnicate: no such command'
like 'after a fault: help' "$said" '^  finish +fin '

commands='n\nregs\nc\n'
told 'on a request' 1 run --break entry --request get.http script.c
like 'on a request: stops' "$said" '^breakpoint 1, entry \(script\.c:'
like 'on a request: faults' "$said" 'argument 1 \(msg\)'
like 'on a request: the answer' "$printed" '^HTTP/1\.1 500 '
commands='quit\n'
told 'giving up a request' 0 run --break entry --request get.http script.c
is 'giving up a request: no answer' "$printed" ''
commands=''
told 'a trace on a request' 1 run --trace --request get.http script.c
like 'a trace on a request: shows' "$said" 'call zs_log$'

cat >calls.c <<'SOURCE'
#include <zeroserve.h>

ZS_CALL_ENTRY(twice, input)
{
    zs_log(ZS_STR("twice\n"));
    return input;
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_s64 got = zs_call(ZS_STR("calls"), ZS_STR("twice"), zs_json_new_object());

    zs_json_respond(200, got);
    return 0;
}
SOURCE
commands='bt\nfinish\nbt\nc\n'
told 'a call of another entry' 0 run --break calls.c:5 --request get.http calls.c
like 'a call of another entry: backtrace' "$said" '^#0  zs_call_entry_twice_ \(calls\.c:5\)'
like 'a call of another entry: its caller' "$said" '^#1  entry \(calls\.c:11\)'
like 'a call of another entry: returns' "$said" '^returned 0x[0-9a-f]+ to entry \(calls\.c:13\)'
commands=''
told 'profile of a request' 0 run --profile --coverage info --request get.http calls.c
like 'profile of a request: called lines' "$said" 'calls\.c:5 in zs_call_entry_twice_'
like 'profile of a request: coverage' "$(cat info)" '^DA:11,1$'
told 'coverage to nowhere' 2 run --coverage no-such-folder/info --request get.http calls.c

told 'never reached' 0 run --break crash --mem memory --entry sum sum.c
like 'never reached: says so' "$said" 'no breakpoint was reached'
told 'nowhere' 2 run --break nowhere --mem memory sum.c
like 'nowhere: says so' "$said" '^zs-vm: nowhere: no such function; zs-vm inspect lists them$'
told 'nowhere in a script' 2 run --break nowhere --request get.http script.c
told 'not a line' 2 run --break sum.c:x sum.c
told 'another file' 2 run --break other.c:1 sum.c
like 'another file: says so' "$said" 'no code of this file'
clang -target bpf -O2 -mcpu=v3 -c sum.c -o bare.o
told 'no lines' 2 run --break sum.c:3 bare.o
like 'no lines: says so' "$said" 'compile with -g'
commands='s\nlist\nregs\nq\n'
told 'no lines, a function' 0 run --break sum --mem memory bare.o
like 'no lines, a function: instructions' "$said" '^sum, instruction [0-9]+$'
told 'break and jit' 2 run --break sum --engine jit sum.c
told 'break and trace' 2 run --break sum --trace sum.c
told 'break and repeat' 2 run --break sum --repeat 2 sum.c

# ---- names for perf and gdb

told 'perf map and the interpreter' 2 run --perf-map --engine interp sum.c
"$vm" run --perf-map --budget-ms 20 --entry crash sum.c >out 2>err &
pid=$!
wait "$pid"
map=/tmp/perf-$pid.map
like 'perf map: functions' "$(cat "$map")" '^[0-9a-f]+ [0-9a-f]+ sum\.c:add$'
unlike 'perf map: form' "$(cat "$map")" '^[0-9a-f]+ [0-9a-f]+$'
rm -f "$map"

start --perf-map script.c
map=/tmp/perf-$server_pid.map
like 'perf map of the server' "$(cat "$map" 2>&1)" '^[0-9a-f]+ [0-9a-f]+ script:entry$'
stop
rm -f "$map"

in_gdb() { # in_gdb COMMAND... -- ARGUMENT...: gdb on zs-vm
    local commands=()
    while [ "$1" != -- ]; do
        commands+=(-ex "$1")
        shift
    done
    shift
    timeout 120 gdb -nx -batch -ex 'set debuginfod enabled off' -ex 'handle SIGSEGV SIG62 nostop noprint' \
        "${commands[@]}" --args "$vm" "$@" 2>&1 </dev/null
}
cat >nested.c <<'SOURCE'
#include <zeroserve.h>

static __attribute__((noinline)) zs_u64 inner(zs_u64 n)
{
    return zs_log(ZS_STR("here\n")) + n;
}

ZS_ENTRY zs_u64 entry(void)
{
    return inner(zs_now_ms()) * 0;
}
SOURCE
if sanitized; then
    echo 'skip gdb: a sanitizer has signals and stacks of its own'
elif ! command -v gdb >/dev/null; then
    echo 'skip gdb: not installed'
elif ! in_gdb 'break main' run -- --version | grep -q 'Breakpoint 1, main'; then
    echo 'skip gdb: it cannot run programs here'
else
    said=$(in_gdb 'break host_zs_log' run bt -- run --request get.http nested.c)
    like 'gdb: names the function that called a helper' "$said" '^#3 .* in inner \(\) at .*nested\.c:5$'
    like 'gdb: and its caller' "$said" '^#4 .* in entry \(\) at .*nested\.c:10$'
    like 'gdb: and the host below' "$said" '^#[0-9]+ .*vm_run_resume \('
fi

finish
