#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Files as curl gets them: ranges, of which several are parsed as the MIME message they are.
# usage: files.sh BUILD
. "$(dirname "$0")/common.bash"

# parts HEAD BODY FILE RANGE...: the answer is multipart/byteranges with exactly these parts, in order,
# each with the bytes of the file, and its length is the one announced.
cat >"$work/parts.py" <<'END'
import email.parser
import email.policy
import sys

head, body, path = (open(name, "rb").read() for name in sys.argv[1:4])
message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head.split(b"\r\n", 1)[1] + body)
assert int(message["content-length"]) == len(body), (message["content-length"], len(body))
assert message["content-range"] is None
assert message.get_content_type() == "multipart/byteranges", message.get_content_type()
assert body.endswith(b"\r\n--" + message.get_boundary().encode() + b"--\r\n")
got = message.get_payload()
wanted = sys.argv[4:]
assert len(got) == len(wanted), (len(got), wanted)
for part, want in zip(got, wanted):
    first, last = map(int, want.split("-"))
    assert part["content-range"] == "bytes %s/%d" % (want, len(path)), (part["content-range"], want)
    assert part.get_content_type() == "application/octet-stream", part.get_content_type()
    assert part.get_payload(decode=True) == path[first:last + 1], want
END

parts() {
    python3 "$work/parts.py" "$@"
}

mkdir "$work/site"
head -c 3000000 /dev/urandom >"$work/site/big.bin"
echo text >"$work/site/a.txt"
seq 5000 >"$work/site/style.css"
gzip -9nk "$work/site/style.css"
start "$work/site" --chunk-size 4096 --cache-control 'style.*=max-age=60, immutable' --cache-control '/*=no-cache'

# ---- ranges ----
ranges() { # ranges NAME FIELD RANGE...
    local name=$1 field=$2
    shift 2
    is "$name: 206" "$(curl -sS -m 20 -D "$work/head" -o "$work/body" -H "Range: $field" -w '%{http_code}' "$url/big.bin")" 206
    check "$name: parts" parts "$work/head" "$work/body" "$work/site/big.bin" "$@"
}
ranges "two" "bytes=0-0,-1" 0-0 2999999-2999999
ranges "order is kept" "bytes=2000000-2099999,5-9,1000000-1500000" 2000000-2099999 5-9 1000000-1500000
ranges "coalesced" "bytes=100-199,1000-1999,150-400,2000-2000" 100-400 1000-2000
ranges "all but one byte" "bytes=0-1499999,1500001-" 0-1499999 1500001-2999999
field=bytes=0-4095
wanted=0-4095
for i in $(seq 15); do
    field=$field,$((i * 100000))-$((i * 100000 + 4095))
    wanted="$wanted $((i * 100000))-$((i * 100000 + 4095))"
done
# shellcheck disable=SC2086
ranges "sixteen" "$field" $wanted
is "seventeen: all" "$(code /big.bin -H "Range: $field,2900000-")" 200
is "more than there is: all" "$(code /big.bin -H 'Range: bytes=0-,0-')" 200
is "one that remains is no multipart" "$(head_of /big.bin -H 'Range: bytes=0-4,5-9' | grep -i '^content-range')" \
    "content-range: bytes 0-9/3000000"
is "none satisfiable" "$(code /big.bin -H 'Range: bytes=3000000-,4000000-')" 416
etag=$(head_of /big.bin | sed -n 's/^etag: //p')
is "If-Range that matches" "$(code /big.bin -H 'Range: bytes=0-0,2-2' -H "If-Range: $etag")" 206
is "If-Range that does not" "$(code /big.bin -H 'Range: bytes=0-0,2-2' -H 'If-Range: "x"')" 200
head=$(curl -sS -I -m 20 -H 'Range: bytes=0-0,2-2' "$url/big.bin")
like "HEAD has no ranges" "$head" '^HTTP/1.1 200'
like "HEAD tells the whole length" "$head" '^content-length: 3000000'
two=$(curl -sS -m 20 -H 'Range: bytes=0-0,2-2' -o "$work/body" -w '%{http_code} %{num_connects} ' "$url/big.bin" \
    --next -sS -m 20 -o "$work/body" -w '%{http_code} %{num_connects}' "$url/a.txt")
is "the connection goes on behind the parts" "$two" "206 1 200 0"

# ---- codings ----
get /style.css -H 'Accept-Encoding: gzip' | gzip -d | cmp -s - "$work/site/style.css"
result "gzip sibling" $?
get /style.css | cmp -s - "$work/site/style.css"
result "plain without Accept-Encoding" $?
head=$(head_of /style.css -H 'Accept-Encoding: br;q=0.5, gzip')
like "Content-Encoding" "$head" '^content-encoding: gzip$'
like "Vary" "$head" '^vary: accept-encoding$'
like "type of the plain file" "$head" '^content-type: text/css; charset=utf-8$'
like "length of the sibling" "$head" "^content-length: $(stat -c %s "$work/site/style.css.gz")\$"
like "Vary of the plain one" "$(head_of /style.css)" '^vary: accept-encoding$'
like "Cache-Control" "$head" '^cache-control: max-age=60, immutable$'
like "Cache-Control of others" "$(head_of /a.txt)" '^cache-control: no-cache$'
is "nothing acceptable" "$(code /style.css -H 'Accept-Encoding: br, identity;q=0')" 406
get /style.css -H 'Accept-Encoding: gzip' -H 'Range: bytes=3-' |
    cmp -s - <(tail -c +4 "$work/site/style.css.gz")
result "ranges are of the sibling" $?

stop
is "ends clean" "$status" 0
# ---- --pack --compress ----
mkdir -p "$work/c/.zeroserve"
seq 5000 >"$work/c/n.txt"
echo mine >"$work/c/n.txt.zst"
seq 5000 >"$work/c/.zeroserve/secret.txt"
echo hi >"$work/c/tiny.txt"
seq 5000 >"$work/c/n.png"
"$server" --pack "$work/c" --compress >"$work/c.tar" 2>"$work/err"
"$server" --compress --pack "$work/c" >"$work/c2.tar"
check "same bytes" cmp "$work/c.tar" "$work/c2.tar"
is "nothing on standard error" "$(cat "$work/err")" ""
is "members" "$(tar tf "$work/c.tar" | sort | tr '\n' ' ')" \
    ".zeroserve/secret.txt n.png n.txt n.txt.br n.txt.gz n.txt.zst tiny.txt "
is "its own sibling stays" "$(tar xOf "$work/c.tar" n.txt.zst)" mine
rm "$work/c/n.txt.zst"
"$server" --compress --pack "$work/c" >"$work/c.tar"
start "$work/c.tar"
for coding in gzip br identity; do
    get /n.txt --compressed -H "Accept-Encoding: $coding" | cmp -s - "$work/c/n.txt"
    result "curl reads $coding" $?
done
like "zstd is there" "$(head_of /n.txt -H 'Accept-Encoding: zstd')" '^content-encoding: zstd$'
magic=$(get /n.txt -H 'Accept-Encoding: zstd' | head -c 4 | od -An -tx1 | tr -d ' ')
is "zstd frame" "$magic" 28b52ffd
stop
"$server" --compress "$work/c" 2>"$work/err"
is "--compress alone is refused" "$?" 2

finish
