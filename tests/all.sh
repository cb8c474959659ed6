#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All tests, as `make test` runs them: each step builds its mode and runs its share; the last line is the sum,
# "N passed, N failed", and what failed is named once more above it. A step that fails to build counts as one failure.
# Exit status 1 on any failure and when nothing ran. About 15 minutes on two cores.
#
# FUZZ_SHARE: seconds of random inputs for each fuzz harness (default 5).
set -u
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=0:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
export TSAN_OPTIONS="halt_on_error=0:exitcode=66:${TSAN_OPTIONS:-}"
share=${FUZZ_SHARE:-5}
passed=0
failed=0
ran=0
log=$(mktemp) || exit 1
failures=$(mktemp) || exit 1
trap 'rm -f "$log" "$failures"' EXIT INT TERM

# note_failure TITLE: the lines of the log that say what failed, for the end of all tests.
note_failure() {
    echo "$1:" >>"$failures"
    grep -E -A 2 'FAIL|CRASH|ERROR: |WARNING: ThreadSan|runtime error|: exit status|: stopped after|no result line' "$log" |
        cut -c 1-200 | head -n 20 >>"$failures"
}

# step TITLE COMMAND...: runs it, adds the numbers of its last line.
step() {
    local title=$1 line
    shift
    echo "== $title"
    "$@" 2>&1 | tee "$log"
    local status=${PIPESTATUS[0]} before=$failed
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1)
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
        ran=$((ran + BASH_REMATCH[1] + BASH_REMATCH[2]))
        [ "$status" != 0 ] && [ "${BASH_REMATCH[2]}" = 0 ] && failed=$((failed + 1))
    else
        echo "$title: no result line, exit status $status" | tee -a "$log"
        failed=$((failed + 1))
    fi
    [ "$failed" = "$before" ] || note_failure "$title"
}

# build MODE TARGET...: quiet unless it fails.
build() {
    local mode=$1
    shift
    echo "== build $mode"
    if ! make --no-print-directory -s -j2 MODE="$mode" "$@" >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "build of $mode failed" | tee -a "$failures"
        failed=$((failed + 1))
        return 1
    fi
}

has_e2e() { compgen -G 'tests/e2e/*.sh' >/dev/null; }

for mode in release asan; do
    build "$mode" all tests fuzzers || continue
    step "unit tests, $mode" sh tests/run.sh "build/$mode" unit
    has_e2e && step "end-to-end tests, $mode" sh tests/run.sh "build/$mode" e2e
done

# Threads share only what is immutable or counted; the thread sanitizer watches the tests that start several workers.
tsan_e2e=(tests/e2e/threads*.sh)
if [ -f "${tsan_e2e[0]}" ] && build tsan all; then
    for script in "${tsan_e2e[@]}"; do
        name=$(basename "$script" .sh)
        step "$name, tsan" env TEST_ONLY="$name" sh tests/run.sh build/tsan e2e
    done
fi

[ -d build/asan/fuzz ] && step "fuzz, asan" bash fuzz/share.sh build/asan "$share"

if [ "$failed" != 0 ]; then
    echo "== what failed"
    cat "$failures"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$ran" != 0 ]
