#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# share.sh BUILD SECONDS: the share of fuzzing that is in the tests. Runs each harness of BUILD over its corpus and over
# random inputs for so many seconds, as many at a time as there are processors. Ends with "N passed, N failed", the sum of
# theirs; one that ends badly, or without such a line, counts as a failure. Exit status 1 on any failure and when nothing ran.
set -u
build=${1:?usage: share.sh BUILD SECONDS}
seconds=${2:?usage: share.sh BUILD SECONDS}
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT INT TERM
export build seconds logs

# play NAME: its output, and the line that is counted, go to a file.
play() {
    local log=$logs/$1 status line
    timeout -k 5 120 "$build/fuzz/$1" --seconds "$seconds" >"$log" 2>&1
    status=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [ -z "$line" ] || { [ "$status" != 0 ] && [[ $line == *' 0 failed' ]]; }; then
        echo "$1: exit status $status" >>"$log"
        line="${line%% *}"
        line="${line:-0} passed, 1 failed"
    fi
    echo "$line" >"$log.counted"
}
export -f play

for source in fuzz/*.c; do
    name=$(basename "$source" .c)
    [ "$name" = replay ] || echo "$name"
done | xargs -P "$(nproc)" -I{} bash -c 'play {}'

for counted in "$logs"/*.counted; do
    echo "== fuzz $(basename "$counted" .counted)"
    cat "${counted%.counted}"
done
cat "$logs"/*.counted | awk '{ passed += $1; failed += $3 }
    END { print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 || passed == 0 }'
