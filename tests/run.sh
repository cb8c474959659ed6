#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD unit|e2e: runs what BUILD holds, shows the output of what fails, and ends with the line
# "N passed, N failed" summed over all programs. Exit status 1 on any failure and when nothing ran.
#
# unit: every program in BUILD/tests is a Criterion binary; its synthesis line is counted. One that ends without a
#       synthesis, by a signal or by the time limit, counts as one failure, as does a non-zero exit without failures.
# e2e:  every tests/e2e/*.sh is called with BUILD as its argument and ends with a "N passed, N failed" line of its own.
# TEST_ONLY=name runs that one alone.
set -u
build=${1:?usage: run.sh BUILD unit|e2e}
kind=${2:?usage: run.sh BUILD unit|e2e}
case $kind in # what takes half a minute takes minutes where others keep the processors busy
unit) limit=${TEST_TIMEOUT:-120} ;;
*) limit=${TEST_TIMEOUT:-480} ;;
esac
passed=0
failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log" "$log".*' EXIT INT TERM

# count NAME PASSED FAILED STATUS: adds one program's numbers, prints its line, shows its output when it failed.
count() {
    bad=$3
    [ "$4" != 0 ] && [ "$bad" = 0 ] && bad=1
    passed=$((passed + $2))
    failed=$((failed + bad))
    printf '%-28s %s passed, %s failed\n' "$1" "$2" "$bad"
    [ "$bad" = 0 ] && return
    [ "$4" = 124 ] && echo "$1: stopped after $limit s"
    [ "$4" != 0 ] && echo "$1: exit status $4"
    if [ "$(wc -l <"$log")" -gt 80 ]; then # what failed may lie far above the end
        grep -n -A 3 'FAIL' "$log" | head -n 80 | sed 's/^/    /'
        echo '    ...'
    fi
    tail -n 80 "$log" | sed 's/^/    /'
}

# number LABEL: the number after the label in the synthesis line, nothing when there is none.
number() {
    sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -n "s/.*Synthesis:.*$1: *\([0-9][0-9]*\).*/\1/p" | tail -n 1
}

run_unit() {
    name=$(basename "$1")
    timeout -k 5 "$limit" "$1" >"$log" 2>&1
    status=$?
    good=$(number Passing)
    failing=$(number Failing)
    crashing=$(number Crashing)
    if [ -z "$good" ]; then
        [ "$status" = 0 ] && status=1
        echo "no synthesis line" >>"$log"
    fi
    count "$name" "${good:-0}" "$((${failing:-0} + ${crashing:-0}))" "$status"
}

# start_e2e PROGRAM LOG: its output goes to the file, its exit status to LOG.status.
start_e2e() {
    timeout -k 5 "$limit" bash "$1" "$build" >"$2" 2>&1
    echo $? >"$2.status"
}

# count_e2e PROGRAM: what has ended, its output in the log.
count_e2e() {
    name=e2e/$(basename "$1" .sh)
    status=$(cat "$log.status")
    line=$(tail -n 1 "$log")
    good=$(echo "$line" | sed -n 's/^\([0-9][0-9]*\) passed, [0-9][0-9]* failed$/\1/p')
    bad=$(echo "$line" | sed -n 's/^[0-9][0-9]* passed, \([0-9][0-9]*\) failed$/\1/p')
    if [ -z "$good" ]; then
        [ "$status" = 0 ] && status=1
        echo "last line is not 'N passed, N failed'" >>"$log"
    fi
    count "$name" "${good:-0}" "${bad:-0}" "$status"
}

run_e2e() {
    start_e2e "$1" "$log"
    count_e2e "$1"
}

# Those that mostly wait, for time-outs to pass, do so side by side.
waiting="idle proxy service tls"
run_waiting() {
    for each in $waiting; do
        start_e2e "tests/e2e/$each.sh" "$log.$each" &
    done
    wait
    for each in $waiting; do
        mv "$log.$each" "$log"
        mv "$log.$each.status" "$log.status"
        count_e2e "tests/e2e/$each.sh"
    done
}

case $kind in
unit) set -- "$build"/tests/* ;;
e2e) set -- tests/e2e/*.sh ;;
*) echo "run.sh: $kind: want unit or e2e" >&2; exit 2 ;;
esac
if [ "$kind" = e2e ] && [ -z "${TEST_ONLY:-}" ]; then
    run_waiting
else
    waiting=
fi
for program in "$@"; do
    [ -f "$program" ] || continue
    case " $waiting " in *" $(basename "$program" .sh) "*) continue ;; esac
    case $program in *.d | *.o) continue ;; esac
    # A binary whose source is gone is left over from an older tree.
    [ "$kind" = unit ] && [ ! -f "tests/unit/$(basename "$program").c" ] && continue
    [ -n "${TEST_ONLY:-}" ] && [ "$(basename "$program" .sh)" != "$TEST_ONLY" ] && continue
    "run_$kind" "$program"
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" != 0 ]
