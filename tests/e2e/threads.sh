#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Several workers at once: what they share (site, scripts, counters, the log) must stand load from many clients. Built with the thread
# sanitizer, a race makes the server's exit status non-zero. Usage: threads.sh BUILD
set -u
build=${1:?usage: threads.sh BUILD}
work=$(mktemp -d)
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT
passed=0
failed=0

check() { # check NAME COMMAND...
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok   $name"
    else
        failed=$((failed + 1))
        echo "FAIL $name"
    fi
}

"$build/zeroserve" --pack examples/site >"$work/site.tar" || { echo "0 passed, 1 failed"; exit 1; }
# One limit that all workers count: 200 an hour.
cat >"$work/00-limit.c" <<'C'
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    if (zs_rate_limit(ZS_STR("everybody"), 0, 0, 200) == 0)
        zs_log(ZS_STR("admitted\n"));
    return 0;
}
C
"$build/zeroserve" --addr 127.0.0.1:0 --threads 3 --plugin "$work/00-limit.c" "$work/site.tar" 2>"$work/log" &
pid=$!
SECONDS=0
for _ in $(seq 100); do
    port=$(sed -n 's|^listening on http://127.0.0.1:\([0-9]*\) .*|\1|p' "$work/log")
    [ -n "$port" ] && break
    sleep 0.1
done
check "three workers listen" grep -q '(3 worker thread(s))' "$work/log"

# 600 requests from 4 clients with 25 connections each; every answer's status is counted.
for i in $(seq 150); do
    printf 'url = "http://127.0.0.1:%s/"\noutput = /dev/null\n' "$port"
    printf 'url = "http://127.0.0.1:%s/health"\noutput = /dev/null\n' "$port"
    printf 'url = "http://127.0.0.1:%s/missing-%s"\noutput = /dev/null\n' "$port" "$i"
    printf 'url = "http://127.0.0.1:%s/assets/icon.svg"\noutput = /dev/null\n' "$port"
done >"$work/urls"
clients=
for n in 1 2 3 4; do
    curl -s --no-progress-meter --parallel --parallel-max 25 -w '%{http_code}\n' -K "$work/urls" >"$work/codes.$n" &
    clients="$clients $!"
done
for client in $clients; do wait "$client"; done
count() { cat "$work"/codes.* | grep -c "^$1\$"; }
most=200
check "1800 requests answered 200" [ "$(count 200)" = 1800 ]
check "600 requests answered 404" [ "$(count 404)" = 600 ]

kill -TERM "$pid"
wait "$pid"
status=$?
pid=
check "exit status 0 after SIGTERM (is $status)" [ "$status" = 0 ]
check "every request is in the log once" [ "$(grep -c ' HTTP/1.1" ' "$work/log")" = 2400 ]
admitted=$(grep -c '00-limit: admitted$' "$work/log")
check "a limit admitted 200, or up to $most by now (is $admitted)" [ "$admitted" -ge 200 -a "$admitted" -le "$most" ]
[ "$failed" = 0 ] || grep -v 'HTTP/1.1"' "$work/log" | head -40
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
