#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the engine benchmark that `make bench-engine` has built. Usage: run.sh BUILD_FOLDER [option of engine]...
# UBPF=PATH adds uBPF: a libubpf.so, a libubpf.a, or a source tree of it (built below BUILD_FOLDER with its own vm/*.c).
set -eu
build=$1
shift
out=$build/bench

# ubpf_library PATH: prints a shared library of the uBPF at PATH
ubpf_library() {
    case $1 in
    *.so | *.so.*) echo "$1" ;;
    *.a)
        gcc -shared -o "$out/libubpf.so" -Wl,--whole-archive "$1" -Wl,--no-whole-archive
        echo "$out/libubpf.so" ;;
    *)
        mkdir -p "$out/ubpf"
        config=$1/vm/ubpf_config.h
        [ -e "$config" ] || { config=$out/ubpf/ubpf_config.h; echo '#define UBPF_HAS_ELF_H 1' >"$config"; }
        # Its interpreter fetches each instruction by an exported function, which gcc inlines only where it may not be interposed.
        gcc -O2 -fPIC -fno-semantic-interposition -w -D_GNU_SOURCE -I"$1/vm" -I"$1/vm/inc" -I"$out/ubpf" \
            -shared -o "$out/libubpf.so" $(find "$1/vm" -maxdepth 1 -name '*.c' ! -name test.c) -lm
        echo "$out/libubpf.so" ;;
    esac
}

if [ -n "${UBPF:-}" ]; then
    [ -e "$UBPF" ] || { echo "bench: UBPF=$UBPF: no such file or folder" >&2; exit 1; }
    library=$(set -e; ubpf_library "$UBPF")
    set -- --ubpf "$(realpath "$library")" "$@"
fi
strip -o "$out/libzsvm.so" "$(ls "$build"/libzsvm.so.* | head -n 1)"
exec "$out/engine" --programs "$out/programs" --scripts "$out/scripts" --library "$out/libzsvm.so" --json "$out/engine.json" "$@"
