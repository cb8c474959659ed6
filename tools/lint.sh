#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The rules of the tree that a grep can check; docs/ARCHITECTURE.md gives the reasons. Prints every breach as
# "file:line: message"; exit status 1 when there is any.
set -u
cd "$(dirname "$0")/.." || exit 2
problems=0

# complain MESSAGE: one problem for each "file:line:text" on standard input.
complain() {
    local file line rest
    while IFS=: read -r file line rest; do
        echo "$file:$line: $1"
        problems=$((problems + 1))
    done
}

# banned MESSAGE PATTERN FILE...: no line matches, comments aside.
banned() {
    local message=$1 pattern=$2
    shift 2
    [ $# = 0 ] && return
    complain "$message" < <(grep -nHE -- "$pattern" "$@" | grep -vE '^[^:]*:[0-9]+: *(/?\*|//|#[^a-z])')
}

# sources PATH...: the sources below these paths, by what git knows and what is new.
sources() { git ls-files -co --exclude-standard -- "$@" | grep -E '\.(c|h|S|def)$' | existing; }
existing() { while IFS= read -r f; do [ -f "$f" ] && echo "$f"; done; }

# only_includes WHO ALLOWED FILE...: root-relative includes match ALLOWED.
only_includes() {
    local who=$1 allowed=$2
    shift 2
    [ $# = 0 ] && return
    complain "$who may not include this" < <(grep -nHE '^ *# *include *"' "$@" | grep -vE "include *\"($allowed)")
}

mapfile -t all < <(sources .)
mapfile -t c_files < <(sources . | grep -E '\.[ch]$')
mapfile -t product < <(sources vm jit-x86_64 loader server sdk tools)
mapfile -t server_side < <(sources server | grep -E '^server/(script[^/]*|helpers/.*)$')
mapfile -t server_rest < <(sources server | grep -vE '^server/(script[^/]*|helpers/.*)$')
mapfile -t vm_files < <(sources vm)
mapfile -t jit_files < <(sources jit-x86_64)
mapfile -t loader_files < <(sources loader)
mapfile -t tool_files < <(sources tools)
mapfile -t sdk_files < <(sources sdk)

# ---- layers

only_includes sdk 'helpers\.def"' "${sdk_files[@]}"
only_includes vm 'vm/' "${vm_files[@]}"
only_includes jit-x86_64 'vm/|jit-x86_64/' "${jit_files[@]}"
only_includes loader 'vm/(vm|alloc|limits)\.h|vm/err\.def|loader/' "${loader_files[@]}"
only_includes tools 'vm/|loader/|jit-x86_64/jit\.h|server/(script|pack|version|offline|rehearse)\.h|tools/' "${tool_files[@]}"
only_includes 'server/script and server/helpers' 'sdk/|vm/vm\.h|vm/limits\.h|vm/fault\.def|vm/err\.def|loader/loader\.h|jit-x86_64/jit\.h|server/' \
    "${server_side[@]}"
only_includes server 'server/' "${server_rest[@]}"

# ---- one owner for each dangerous power

outside() { # outside OWNER-PATTERN FILE...: the files that do not match
    local owner=$1
    shift
    printf '%s\n' "$@" | grep -vE "$owner"
}
mapfile -t not_code < <(outside '^jit-x86_64/code\.c$' "${product[@]}")
mapfile -t not_trap < <(outside '^vm/trap\.c$' "${product[@]}" | grep -vE '^(server/(main|server)\.c|tools/)')
mapfile -t not_ring < <(outside '^server/ring\.[ch]$' "${product[@]}")
mapfile -t not_tls < <(outside '^server/tls(_[a-z]+)?\.[ch]$' "${product[@]}")
banned 'executable memory belongs to jit-x86_64/code.c' 'PROT_EXEC' "${not_code[@]}"
banned 'signals belong to vm/trap.c and server/server.c, timers to vm/trap.c' '\b(sigaction|signal|timer_(create|settime|delete)|sigaltstack) *\(' \
    "${not_trap[@]}"
banned 'io_uring belongs to server/ring.c' '\bio_uring_[a-z_]+ *\(' "${not_ring[@]}"
banned 'TLS belongs to server/tls*.c' '# *include *<openssl/ssl' "${not_tls[@]}"
banned 'a page is never writable and executable' 'PROT_WRITE *\| *PROT_EXEC|PROT_EXEC *\| *PROT_WRITE' "${c_files[@]}"
mapfile -t pure < <(sources server/h1.c server/tls.c server/tls_*.c server/ja4.c server/static.c)
banned 'bytes in, bytes out: no sockets here' '# *include *<(sys/socket|netinet|liburing)' "${pure[@]}"

# ---- habits

banned 'unbounded string function' '\b(sprintf|vsprintf|strcat|strcpy|gets|strncat) *\(' "${c_files[@]}"
complain 'unfinished work is not committed' < <(grep -nHwE 'TO''DO|FIX''ME|X''XX' "${all[@]}")
complain 'tab or space at the end of the line' < <(grep -nHE '[[:space:]]+$' "${all[@]}")
complain 'tab in a source' < <(grep -nHP '\t' "${c_files[@]}")

for file in "${all[@]}" $(git ls-files -co --exclude-standard -- '*.sh' Makefile .ci/run '*.py' | existing); do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
        complain 'no SPDX line' <<<"$file:1:"
done
for file in "${all[@]}"; do
    lines=$(wc -l <"$file")
    [ "$lines" -gt 800 ] && complain "$lines lines, want 800 at most" <<<"$file:$lines:"
done
for file in $(sources . | grep '\.h$'); do
    [[ $file = sdk/* ]] && continue
    grep -q '^#ifndef ' "$file" || complain 'no include guard' <<<"$file:1:"
done

awk -f tools/reference.awk sdk/helpers.def | cmp -s - docs/HELPERS.md ||
    complain 'not what make reference makes of sdk/helpers.def' <<<'docs/HELPERS.md:1:'

[ "$problems" = 0 ] || echo "lint: $problems problems"
[ "$problems" = 0 ]
