#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every piece of C in docs/SCRIPTING.md compiles, and names only helpers that the server has. A piece without an entry
# is the inside of one, and may use what it does not show: text, name, key, message, config. A piece behind a paragraph
# that names a script of examples/ is quoted from there, and examples.sh tests it.
# usage: scripting.sh BUILD_FOLDER
set -u
build=${1:?usage: scripting.sh BUILD_FOLDER}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

awk -v out="$work" '/^```c$/ { n++; next } /^```$/ { inside = 0; next }
    { if (n > last) { last = n; inside = 1; file = sprintf("%s/%02d-line-%d.txt", out, n, NR)
        if (match(said, /examples\/[^ `]*\.c/)) print substr(said, RSTART, RLENGTH) > (file ".from") } }
    inside { print > file; next }
    { if ($0 != "") { said = (blank ? "" : said) $0 "\n" } blank = $0 == "" }' "$root/docs/SCRIPTING.md"

# quoted PIECE SCRIPT: are the lines of the piece in the script, one after the other, wherever they are indented to?
quoted() {
    awk 'NR == FNR { sub(/^ +/, ""); piece = piece "\n" $0; next } { sub(/^ +/, ""); script = script "\n" $0 }
        END { exit index(script "\n", piece "\n") == 0 }' "$1" "$2"
}

for piece in "$work"/*.txt; do
    name=$(basename "$piece" .txt)
    if [ -f "$piece.from" ]; then
        from=$(cat "$piece.from")
        if quoted "$piece" "$root/$from"; then
            echo "ok   $name is in $from"
            passed=$((passed + 1))
        else
            echo "FAIL $name is not in $from"
            failed=$((failed + 1))
        fi
        continue
    fi
    if grep -q 'ZS_[A-Z_]*ENTRY' "$piece"; then
        { grep -q '#include' "$piece" || echo '#include <zeroserve.h>'; cat "$piece"; } >"$work/$name.c"
    else
        {
            echo '#include <zeroserve.h>'
            echo 'ZS_ENTRY zs_u64 entry(void)'
            echo '{'
            echo '    ZS_MAYBE_UNUSED char text[256] = "", name[64] = "", *key = name, *message = text;'
            echo '{'
            cat "$piece"
            echo '}'
            echo '    return 0;'
            echo '}'
        } >"$work/$name.c"
    fi
    if clang -target bpf -mcpu=v3 -O2 -g -fno-builtin -Wall -Wextra -Werror -I "$root/sdk" -c -o "$work/$name.o" \
        "$work/$name.c" >"$work/said" 2>&1 && "$build/zs-vm" check "$work/$name.o" >>"$work/said" 2>&1; then
        echo "ok   $name"
        passed=$((passed + 1))
    else
        echo "FAIL $name"
        sed 's/^/     /' "$work/said"
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
