#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every piece of C in docs/SCRIPTING.md is quoted from a script of examples/, all of which examples.sh tests. The script
# is named by the paragraph before the piece, or by its fence, as in ```c tour/30-tour.c.
# usage: scripting.sh BUILD_FOLDER
set -u
: "${1:?usage: scripting.sh BUILD_FOLDER}"
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

awk -v out="$work" '
    /^```c( |$)/ {
        piece = sprintf("%s/%02d-line-%d", out, ++n, NR + 1)
        from = ""
        if (NF > 1) {
            from = $2
            sub("/", "/.zeroserve/scripts/", from)
            from = "examples/" from
        } else if (match(said, /examples\/[^ `]*\.c/)) {
            from = substr(said, RSTART, RLENGTH)
        }
        print from > (piece ".from")
        next
    }
    /^```/ { piece = ""; next }
    piece != "" { print > (piece ".txt"); next }
    { if ($0 != "") { said = (blank ? "" : said) $0 "\n" } blank = $0 == "" }' "$root/docs/SCRIPTING.md"

# quoted PIECE SCRIPT: are the lines of the piece in the script, one after the other, wherever they are indented to?
quoted() {
    awk 'NR == FNR { sub(/^ +/, ""); piece = piece "\n" $0; next } { sub(/^ +/, ""); script = script "\n" $0 }
        END { exit index(script "\n", piece "\n") == 0 }' "$1" "$2"
}

for piece in "$work"/*.txt; do
    name=$(basename "$piece" .txt)
    from=$(cat "${piece%.txt}.from")
    if [ -n "$from" ] && quoted "$piece" "$root/$from"; then
        echo "ok   $name is in $from"
        passed=$((passed + 1))
    else
        echo "FAIL $name is not in ${from:-a script of examples/}"
        failed=$((failed + 1))
    fi
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
