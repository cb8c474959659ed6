#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# libzsvm as others use it: installed into an empty folder, found by pkg-config, linked dynamically and statically by
# the examples of examples/embed, which then run friendly and hostile programs. The document that teaches it,
# docs/EMBEDDING.md, must quote those examples.
# usage: embed.sh BUILD
. "$(dirname "$0")/common.bash"
cd "$work" || exit 1

mode=release
flags=(-Wall -Wextra -Werror -O2)
if grep -q -m 1 __asan_init "$server"; then
    mode=asan
    flags+=(-fsanitize=address,undefined -fno-sanitize=null)
fi
tree=$work/tree/usr/local
install_it() { # install_it TARGET
    make -s --no-print-directory -C "$root" O="$build" MODE=$mode DESTDIR="$work/tree" PREFIX=/usr/local \
        LIBDIR=/usr/local/lib INCLUDEDIR=/usr/local/include "$1"
}

# ---- what is installed ----

check "make install" install_it install
for file in bin/zeroserve bin/zs-vm lib/libzsvm.a lib/libzsvm.so lib/libzsvm.so.0 lib/pkgconfig/zsvm.pc \
    include/zsvm/vm/vm.h include/zsvm/loader/loader.h include/zsvm/jit-x86_64/jit.h include/zeroserve.h \
    share/man/man1/zeroserve.1 share/man/man1/zs-vm.1 share/doc/zeroserve/LICENSE \
    share/doc/zeroserve/EMBEDDING.md; do
    check "installs $file" test -s "$tree/$file"
done
is "nothing is installed outside PREFIX" "$(cd tree && find . -type f ! -path './usr/local/*')" ""
like "soname" "$(readelf -d "$tree/lib/libzsvm.so.0")" 'SONAME.*\[libzsvm\.so\.0\]'

# Debug information aside, the whole engine stays small: both engines, the loader, what serves gdb and perf.
if [ $mode = release ]; then
    strip -o stripped.so "$tree/lib/libzsvm.so.0"
    check "stripped, the shared library is 250 KiB at most" test "$(stat -c %s stripped.so)" -le 256000
fi

exported=$(nm -D --defined-only "$tree/lib/libzsvm.so.0" | awk '{print $3}' | grep -v '^__\(asan\|odr\|ubsan\)' | sort)
declared=$(grep -hE '^VM_API' "$tree"/include/zsvm/*/*.h | sed -E 's/\(.*//; s/;$//; s/.*[ *]//' | sort)
is "the shared library exports what the headers declare, and nothing else" "$exported" "$declared"

# ---- building against it ----

export PKG_CONFIG_PATH=$tree/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$work/tree
export LD_LIBRARY_PATH=$tree/lib
like "pkg-config knows the version" "$(pkg-config --modversion zsvm)" '^[0-9]+\.[0-9]+\.[0-9]+$'
read -ra cflags <<<"$(pkg-config --cflags zsvm)"
read -ra libs <<<"$(pkg-config --libs zsvm)"
read -ra libs_static <<<"$(pkg-config --static --libs zsvm | sed 's/-lzsvm/-l:libzsvm.a/')"

examples=$root/examples/embed
for name in filter batch score threads signals; do
    check "$name.c, shared library" gcc "${flags[@]}" -o "$name" "$examples/$name.c" "${cflags[@]}" "${libs[@]}" -pthread
    check "$name.c, static library" gcc "${flags[@]}" -o "$name-static" "$examples/$name.c" "${cflags[@]}" \
        "${libs_static[@]}" -pthread
done
printf '#include "loader/loader.h"\n#include "jit-x86_64/jit.h"\nint main() { return *vm_error_text(VM_ERROR_OK) != 110; }\n' >plus.cc
check "the headers are C++ as well" clang++ -Wall -Wextra -Werror -fsyntax-only "${cflags[@]}" plus.cc
like "and the names are those of C" "$(clang++ "${cflags[@]}" -S -o - plus.cc)" '[^_a-z0-9]vm_error_text'
like "filter needs the shared library" "$(readelf -d filter)" 'NEEDED.*libzsvm\.so\.0'
unlike "filter-static does not" "$(readelf -d filter-static)" 'NEEDED.*libzsvm'
for name in tcp80 popular count; do
    check "$name.c for eBPF" clang -target bpf -mcpu=v3 -O2 -Wall -Werror -c "$examples/$name.c"
done

# ---- running ----

if [ $mode = release ]; then # a sanitizer must be there before the program is
    check "the shared library can be loaded late, and again" python3 -c '
import _ctypes, ctypes, sys
for i in range(2):
    library = ctypes.CDLL(sys.argv[1])
    library.vm_error_text.restype = ctypes.c_char_p
    assert library.vm_error_text(0) == b"no error"
    _ctypes.dlclose(library._handle)
assert "libzsvm" in open("/proc/self/maps").read()' "$tree/lib/libzsvm.so.0"
fi

expected="packet 1: accepted, 72 bytes
packet 2: accepted, 73 bytes
packet 6: accepted, 58 bytes
packet 7: note: TCP header is cut off
3 of 8 packets accepted"
best=$(awk 'BEGIN { for (i = 0; i < 10000; i++) { s = 30 * (i % 7) + 2 * (i * 13 % 1000); if (s > m) { m = s; at = i } }
                    printf "item %d of 10000 is best: %d", at, m }')
handled="guest: read of 0x1000, instruction 0
host: its own handler was called
guest: read of 0x2000, instruction 0"
for kind in '' -static; do
    is "filter$kind finds port 80" "$(./filter$kind tcp80.o "$examples/capture.pcap" 2>&1)" "$expected"
    is "batch$kind does, many at a time, with memory of the host's" \
        "$(./batch$kind tcp80.o "$examples/capture.pcap" 2>&1)" "3 of 8 packets accepted; 0 blocks left"
    is "score$kind finds the best item" "$(./score$kind popular.o 2>&1)" "$best"
    is "signals$kind go where they belong" "$(./signals$kind 2>&1)" "$handled"
    is "threads$kind take turns" "$(./threads$kind count.o 2>&1)" "12 of 12 runs counted right; switched yes"
done

# ---- hostile programs ----

# hostile NAME SOURCE FAULT: each packet costs a fault of that text, and the process goes on to the end.
hostile() {
    printf 'typedef unsigned long long u64;\nextern u64 note(const char *);\n%s\n' "$2" >"$1.c"
    check "$1.c for eBPF" clang -target bpf -mcpu=v3 -O2 -Wno-everything -c "$1.c"
    local output
    output=$(timeout 60 ./filter "$1.o" "$examples/capture.pcap" 2>&1)
    like "$1: $3" "$output" "^packet 8: fault: $3"
    like "$1: the process goes on" "$output" '^0 of 8 packets accepted$'
}
hostile wild_read 'u64 filter(void) { return *(volatile u64 *)0x7ffff0000000ull; }' 'read of'
hostile wild_write 'u64 filter(char *p, u64 n) { for (u64 i = 0;; i += 4096) ((volatile char *)p)[i] = 1; }' 'write to'
hostile below 'u64 filter(char *p) { for (;; p -= 8) *(volatile char *)p = 1; }' 'write to'
hostile endless 'u64 filter(void) { for (;;) __asm__ volatile(""); }' 'CPU budget spent'
hostile deep '__attribute__((noinline)) u64 f(u64 n) { return n + f(n + 1) * 3; } u64 filter(u64 a, u64 n) { return f(n); }' \
    'calls nested too deeply'
hostile bad_string 'u64 filter(void) { return note((const char *)0xdeadbeefull); }' 'note'
cat >half.c <<'END'
typedef unsigned long long u64;
u64 filter(char *packet, u64 length) { return length < 60 ? *(volatile u64 *)8 : 1; }
END
check "half.c for eBPF" clang -target bpf -mcpu=v3 -O2 -Wno-everything -c half.c
like "in a batch, those that fault cost themselves alone" "$(./batch half.o "$examples/capture.pcap" 2>&1)" \
    '^[1-7] of 8 packets accepted; 0 blocks left$'
is "the hostile do no harm to those who come after" "$(./filter tcp80.o "$examples/capture.pcap" 2>&1)" "$expected"

# ---- malformed input to the examples themselves ----

head -c 100 "$examples/capture.pcap" >short.pcap
like "a short capture gets one line" "$(./filter tcp80.o short.pcap 2>&1)" '^capture: malformed record$'
like "a file that is no object gets one line" "$(./filter "$examples/tcp80.c" short.pcap 2>&1)" 'tcp80\.c: '

# ---- the document ----

# quoted FILE: each ```c block of the document stands, line for line, in an example.
quoted() {
    python3 - "$1" "$examples" <<'SCRIPT'
import glob, re, sys
def lines(text): return "\n".join(line.strip() for line in text.splitlines() if line.strip())
sources = [lines(open(f).read()) for f in glob.glob(sys.argv[2] + "/*.[ch]")]
blocks = re.findall(r"```c\n(.*?)```", open(sys.argv[1]).read(), re.S)
missing = [b for b in blocks if not any(lines(b) in s for s in sources)]
print("\n".join(missing))
sys.exit(0 if blocks and not missing else 1)
SCRIPT
}
check "EMBEDDING.md quotes the examples" quoted "$root/docs/EMBEDDING.md"

check "make uninstall" install_it uninstall
is "uninstall leaves no file" "$(find tree ! -type d)" ""
finish
