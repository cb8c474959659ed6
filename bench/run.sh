#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs bench/programs natively, on the JIT and on the interpreter, in turns, and prints medians and ratios to native. Usage: run.sh BUILD_FOLDER
set -eu
build=$1
rounds=${ROUNDS:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ns_of COMMAND...: nanoseconds a run, from standard error
ns_of() { "$@" 2>&1 >"$work/r0" | awk '/ns\/run/ {print $1}'; }
median() { sort -n "$1" | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

printf '%-10s %12s %12s %12s %8s %8s\n' program native-ns jit-ns interp-ns jit/nat int/jit
for source in bench/programs/*.c; do
    name=$(basename "$source" .c)
    gcc -O2 -o "$work/$name" bench/native.c "$source"
    clang -target bpf -O2 -mcpu=v3 -c -o "$work/$name.o" "$source"
    : >"$work/n"; : >"$work/j"; : >"$work/i"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        ns_of "$work/$name" >>"$work/n"; expected=$(cat "$work/r0")
        for engine in jit interp; do
            ns_of "$build/zs-vm" run --engine $engine --repeat 200 "$work/$name.o" >>"$work/${engine%${engine#?}}"
            [ "$(cat "$work/r0")" = "$expected" ] || { echo "$name: $engine differs from native" >&2; exit 1; }
        done
        round=$((round + 1))
    done
    awk -v p="$name" -v n="$(median "$work/n")" -v j="$(median "$work/j")" -v i="$(median "$work/i")" \
        'BEGIN {printf "%-10s %12.0f %12.0f %12.0f %8.2f %8.2f\n", p, n, j, i, n ? j / n : 0, j ? i / j : 0}'
done
