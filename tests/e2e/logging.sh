#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Logs as their readers see them: formats, files that are moved, readers that are slow or dead. Usage: logging.sh BUILD
. "$(dirname "$0")/common.bash"

mkdir "$work/site"
echo hello >"$work/site/index.html"

# ---- formats ----
start --access-log-format json "$work/site"
get '/?a="\' >/dev/null
get /nothing -X POST >/dev/null
stop
grep '^{' "$log" >"$work/lines"
check "every line of json is an object" python3 -c '
import json, re, sys
first, second = [json.loads(line) for line in open(sys.argv[1])]
assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"]), first
assert first["peer"].startswith("127.0.0.1:"), first
assert (first["method"], first["target"], first["protocol"]) == ("GET", "/?a=\"\\", "HTTP/1.1"), first
assert (first["status"], first["bytes"], first["tls"]) == (200, 6, None), first
assert first["duration_us"] >= 0 and first["decision"] == "pass", first
assert (second["method"], second["status"]) == ("POST", 405), second
' "$work/lines"
start --access-log-format combined "$work/site"
get / >/dev/null
stop
like "combined" "$(cat "$log")" \
    '^127\.0\.0\.1 - - \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}(:[0-9]{2}){3} \+0000\] "GET / HTTP/1\.1" 200 6 "[^"]*" "[^"]*"$'

# ---- a file ----
access=$work/access.log
start --access-log "$access" "$work/site"
get /first >/dev/null
stop
like "the line is in the file" "$(cat "$access")" '"GET /first HTTP/1.1" 404'
unlike "and not on standard error" "$(cat "$log")" 'GET /first'
start --access-log "$access" "$work/site"
get /second >/dev/null
log=$access logged "a second server appends" 'GET /second'
is "and keeps what is there" "$(grep -c GET "$access")" 2
mv "$access" "$access.1"
get /third >/dev/null
log=$access.1 logged "a file that was moved is still written" 'GET /third'
kill -USR1 "$server_pid"
eventually [ -e "$access" ]
get /fourth >/dev/null
stop
like "after SIGUSR1 it is made anew" "$(cat "$access")" 'GET /fourth'
is "with what came since" "$(grep -c GET "$access") $(grep -c GET "$access.1")" "1 3"
"$server" --addr 127.0.0.1:0 --access-log "$work/none/log" "$work/site" 2>"$work/err"
is "a file that cannot be opened: exit status" "$?" 1
like "and the line" "$(cat "$work/err")" 'none/log: No such file'

# ---- readers ----
url_file=$work/urls
for i in $(seq 2000); do
    printf 'url = "%%s/%s"\noutput = /dev/null\n' "$i-$(printf 'x%.0s' $(seq 1500))"
done >"$url_file.in"
flood() { # 2000 requests whose lines are 3 MB
    sed "s|%s|$url|" "$url_file.in" >"$url_file"
    curl -s --no-progress-meter -m 100 -K "$url_file" -w '%{http_code}\n' | sort | uniq -c | xargs
}
mkfifo "$work/pipe"
exec 7<>"$work/pipe"
start --threads 1 --access-log "$work/pipe" "$work/site"
is "nobody reads the log: all is answered" "$(flood)" "2000 404"
timeout 60 cat <&7 >"$work/read" &
reader=$!
for _ in $(seq 400); do
    get / >/dev/null
    grep -q 'lines dropped' "$log" && break
    sleep 0.05
done
logged "the missing lines are told" '^access log: [0-9]+ lines dropped$'
stop
is "ends clean" "$status" 0
kill "$reader" 2>/dev/null
wait "$reader" 2>/dev/null
exec 7<&-
told=$(sed -n 's/^access log: \([0-9]*\) lines dropped$/\1/p' "$log" | awk '{ sum += $1 } END { print sum }')
is "what came and what did not are all" "$(($(grep -c '"GET /[0-9]*-x' "$work/read") + told))" 2000

"$server" --addr 127.0.0.1:0 --threads 1 "$work/site" 2> >(grep -m 1 '^listening' >"$work/first") &
server_pid=$!
eventually [ -s "$work/first" ]
url=http://127.0.0.1:$(sed 's|.*:\([0-9]*\) .*|\1|' "$work/first")
is "the reader of standard error is dead: all is answered" "$(code /)$(code /)$(code /)" 200200200
stop
is "and it ends clean" "$status" 0

finish
