#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Making sites and loading them: same bytes for the same folder, every kind of SITE argument, refusals
# in one line, and a large folder in little memory.
# usage: packing.sh BUILD
. "$(dirname "$0")/common.bash"

refused() { # refused NAME REGEX ARGUMENT...: fails at once, with one line that matches
    local name=$1 want=$2 output status
    shift 2
    output=$(timeout 10 "$server" --addr 127.0.0.1:0 "$@" 2>&1 >/dev/null)
    status=$?
    [ "$status" -ne 0 ] && [ "$status" -lt 124 ]
    result "$name: refused" $? "exit status $status" "$output"
    is "$name: one line" "$(grep -vcE "^(loaded|compiled) " <<<"$output")" 1
    like "$name: says why" "$output" "$want"
}

mkdir -p "$work/a/.zeroserve/scripts/deep" "$work/a/sub/empty" "$work/a/.well-known"
echo home >"$work/a/index.html"
echo file >"$work/a/sub/file with spaces ü.txt"
echo known >"$work/a/.well-known/security.txt"
: >"$work/a/empty"
long=$(printf 'n%.0s' $(seq 120))
mkdir -p "$work/a/$long/$long"
echo far >"$work/a/$long/$long/$long.txt"
hello='#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    char path[64];
    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/hello") == 0)
        zs_respond(200, ZS_STR("hello"));
    return 0;
}'
echo "$hello" >"$work/a/.zeroserve/scripts/deep/10-hello.c"

# ---- the same bytes ----
"$server" --pack "$work/a" >"$work/one.tar"
"$server" --pack "$work/a" >"$work/two.tar"
check "packing twice gives the same bytes" cmp "$work/one.tar" "$work/two.tar"
mkdir "$work/elsewhere"
cp -a "$work/a" "$work/elsewhere/copy"
(cd "$work/elsewhere/copy" && "$server" --pack .) >"$work/two.tar"
check "from another place, too" cmp "$work/one.tar" "$work/two.tar"
listing=$(tar -tf "$work/one.tar" 2>&1)
result "tar reads it" $? "$listing"
is "the script is compiled and its source left out" "$(grep -c zeroserve <<<"$listing")" 1
like "under its name with .o" "$listing" '^\.zeroserve/scripts/deep/10-hello\.o$'
check "tar unpacks the same files" sh -c \
    "mkdir '$work/out' && tar -C '$work/out' -xf '$work/one.tar' && diff -r --exclude=.zeroserve --exclude=empty '$work/a' '$work/out'"

# ---- every kind of site ----
serves() { # serves NAME ARGUMENT...: the pages of folder a
    local name=$1
    shift
    start "$@"
    is "$name: home" "$(get /)" home
    is "$name: spaces and umlauts" "$(get '/sub/file%20with%20spaces%20%C3%BC.txt')" file
    is "$name: long path" "$(get "/$long/$long/$long.txt")" far
    is "$name: dot folder" "$(get /.well-known/security.txt)" known
    is "$name: empty file" "$(code /empty) $(get /empty | wc -c)" "200 0"
    is "$name: script" "$(get /hello)" hello
    stop
}
serves "a packed tar" "$work/one.tar"
serves "a folder" "$work/a"
for format in ustar gnu pax; do
    # ustar cannot hold the long path, so it stays out of that one.
    (cd "$work/out" && tar --format=$format -cf "$work/$format.tar" . 2>/dev/null)
    [ $format = ustar ] || serves "tar --format=$format" "$work/$format.tar"
done
start "$work/ustar.tar"
is "tar --format=ustar: home" "$(get /)" home
stop
echo "$hello" >"$work/bare.c"
start "$work/bare.c"
is "a bare .c" "$(get /hello) $(code /)" "hello 404"
stop
cp "$work/out/.zeroserve/scripts/deep/10-hello.o" "$work/bare.o"
start "$work/bare.o"
is "a bare .o" "$(get /hello) $(code /)" "hello 404"
stop
check "--check passes a good site" "$server" --check "$work/one.tar"
is "--version" "$("$server" --version | grep -cE '[0-9]+\.[0-9]+')" 1
check "--help names every flag of the manual" sh -c \
    "'$server' --help >'$work/help' && grep -o '^\.B[RI]* \\\\-\\\\-[a-z\\\\-]*' '$root/docs/zeroserve.1' | sed 's/\\\\//g; s/.* //' | sort -u |
     while read -r flag; do grep -q -e \"\$flag\" '$work/help' || { echo \"\$flag\"; exit 1; }; done"
check "the manual names every flag of --help" sh -c \
    "sed 's/\\\\//g' '$root/docs/zeroserve.1' >'$work/manual' && grep -o -e '--[a-z-]*' '$work/help' | sort -u |
     while read -r flag; do grep -q -e \"\$flag\" '$work/manual' || { echo \"\$flag\"; exit 1; }; done"

# ---- scripts with large variables in their functions, of which old clangs say that they are too large ----
mkdir -p "$work/frames/.zeroserve/scripts"
frames() { # frames BYTES: a script that has so many
    printf '#include <zeroserve.h>\nZS_ENTRY zs_u64 entry(void)\n{\n    char path[%s];\n    zs_req_path(path, sizeof path);\n' "$1"
    printf '    if (path[1] == 0)\n        return *(volatile zs_u64 *)8;\n    zs_respond(200, ZS_STR(path));\n    return 0;\n}\n'
}
frames 4000 >"$work/frames/.zeroserve/scripts/10-frames.c"
"$server" --pack "$work/frames" >"$work/frames.tar" 2>"$work/errors"
result "large variables pack" $? "$(cat "$work/errors")"
is "without a word" "$(cat "$work/errors")" ''
"$server" --pack "$work/frames" | cmp -s - "$work/frames.tar"
result "to the same bytes" $?
start "$work/frames.tar"
is "and work" "$(get /ok) $(code /)" "/ok 500"
logged "with their source lines" 'read of 0x8 in entry \(10-frames\.c:7\)'
stop
frames 9000 >"$work/frames.c"
said=$("$server" --check "$work/frames.c" 2>&1)
result "variables of 9000 bytes are refused" $((! ($? != 0))) "$said"
like "and the limit is told" "$said" 'exceeds limit \(8192\)'

# ---- options of static files ----
mkdir "$work/b" "$work/b/d"
echo about >"$work/b/about.html"
echo custom >"$work/b/d/home.htm"
start --try-html --index home.htm --no-dir-redirect "$work/b"
is "--try-html" "$(get /about)" about
is "--index" "$(get /d/)" custom
is "--no-dir-redirect" "$(get /d)" custom
stop
like "requests are logged" "$(cat "$log")" '"GET /about HTTP/1.1" 200'
start --disable-request-logging "$work/b"
get /about.html >/dev/null
stop
unlike "--disable-request-logging" "$(cat "$log")" 'GET /about'

# ---- what is refused ----
: >"$work/empty.tar"
head -c 100 "$work/one.tar" >"$work/short.tar"
head -c $(($(stat -c %s "$work/one.tar") * 2 / 3)) "$work/one.tar" >"$work/cut.tar"
head -c 4096 /dev/urandom >"$work/noise.tar"
gzip -k "$work/one.tar"
printf '\177ELFnot an object' >"$work/broken.o"
echo 'this is not C' >"$work/broken.c"
refused "missing site" 'nowhere' "$work/nowhere.tar"
refused "empty tar" 'empty' "$work/empty.tar"
refused "a hundred bytes" 'short\.tar' "$work/short.tar"
refused "cut tar" 'cut\.tar' "$work/cut.tar"
refused "noise" 'noise\.tar' "$work/noise.tar"
refused "compressed tar" 'compressed|gzip' "$work/one.tar.gz"
refused "broken object" 'broken' "$work/broken.o"
refused "no such flag" 'no-such-flag' --no-such-flag "$work/one.tar"
refused "number out of range" 'threads' --threads 99999 "$work/one.tar"
refused "bad address" 'addr|address' --addr nowhere "$work/one.tar"
"$server" --addr 127.0.0.1:0 "$work/broken.c" >/dev/null 2>"$work/errors"
result "broken source is refused" $((! ($? != 0))) "$(cat "$work/errors")"
like "and the last line names it" "$(tail -n 1 "$work/errors")" 'broken\.c'
printf '#include <zeroserve.h>\nextern int no_such_helper(void);\nZS_ENTRY zs_u64 entry(void)\n{\n    return no_such_helper();\n}\n' >"$work/unknown.c"
refused "unknown helper" 'no_such_helper' "$work/unknown.c"
refused "--check says the same" 'no_such_helper' --check "$work/unknown.c"
mkdir -p "$work/c/.zeroserve/scripts"
cp "$work/broken.o" "$work/c/.zeroserve/scripts/bad.o"
refused "a site with a broken script" 'bad' "$work/c"

# ---- a large folder ----
mkdir "$work/large"
(cd "$work/large" && for i in $(seq 100); do mkdir "$i" && for j in $(seq 200); do echo "$i $j" >"$i/$j.txt"; done; done)
before=$(date +%s%N)
"$server" --pack "$work/large" >"$work/large.tar"
packed=$((($(date +%s%N) - before) / 1000000))
before=$(date +%s%N)
start --threads 1 "$work/large.tar"
loaded=$((($(date +%s%N) - before) / 1000000))
is "20,000 files are served" "$(get /1/1.txt) $(get /100/200.txt) $(code /101/1.txt)" "1 1 100 200 404"
if sanitized; then
    most=20000
else
    most=2000
    memory=$(awk '/^RssAnon:/ { print $2 }' "/proc/$server_pid/status") # pages of libraries are everybody's
    result "in less than 4 MiB of its own ($memory KiB)" $((memory >= 4096))
fi
result "packed in less than $most ms ($packed)" $((packed >= most))
result "loaded in less than $most ms ($loaded)" $((loaded >= most))
stop
is "and ends with status 0" "$status" 0
finish
