#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Coverage-guided fuzzing of every surface: builds each harness with clang, libFuzzer and the sanitizers in build/fuzz and
# runs each FUZZ_SECONDS (default 60) over its corpus in fuzz/corpus/<harness>. New inputs stay in build/fuzz/corpus;
# an input that fails stays in build/fuzz/<harness>-crash-* and replays with build/asan/fuzz/<harness> FILE.
# FUZZ_ONLY=name runs one harness. Exit status 1 when any fails.
set -eu
seconds=${FUZZ_SECONDS:-60}
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=0:${ASAN_OPTIONS:-}"
make --no-print-directory -s -j2 MODE=asan CC=clang O=build/fuzz FUZZ_MAIN= CFLAGS=-fsanitize=fuzzer-no-link \
    LDFLAGS=-fsanitize=fuzzer fuzzers
passed=0
failed=0
for source in fuzz/*.c; do
    name=$(basename "$source" .c)
    [ "$name" = replay ] && continue
    [ -n "${FUZZ_ONLY:-}" ] && [ "$name" != "$FUZZ_ONLY" ] && continue
    found=build/fuzz/corpus/$name
    mkdir -p "$found"
    seeds=
    [ -d "fuzz/corpus/$name" ] && seeds=fuzz/corpus/$name
    echo "== $name, $seconds s"
    # shellcheck disable=SC2086
    if "build/fuzz/fuzz/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 -max_len=16384 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="build/fuzz/$name-" "$found" $seeds; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
