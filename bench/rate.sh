#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a limit of 1000 a second admits while 8 threads ask for 10 s without a pause. Prints the figures; exit status 1
# when it is off by more than 1 %.
# usage: rate.sh BUILD
set -u
build=${1:?usage: rate.sh BUILD}
limit=1000
seconds=10
work=$(mktemp -d)
pid=
trap '[ -n "$pid" ] && kill "$pid" 2>/dev/null; rm -rf "$work"' EXIT

cat >"$work/10-limit.c" <<C
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    return zs_respond(zs_rate_limit(ZS_STR("everybody"), $limit, 0, 0) == 0 ? 200 : 429, 0, 0);
}
C
"$build/zeroserve" --addr 127.0.0.1:0 --threads 8 --disable-request-logging "$work/10-limit.c" 2>"$work/log" &
pid=$!
for _ in $(seq 100); do
    port=$(sed -n 's|^listening on http://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$work/log")
    [ -n "$port" ] && break
    sleep 0.1
done
[ -n "$port" ] || { cat "$work/log"; exit 1; }

h2load --h1 -t 8 -c 64 -D "$seconds" "http://127.0.0.1:$port/" >"$work/report" 2>&1 || { cat "$work/report"; exit 1; }
read -r admitted refused <<<"$(sed -n 's/^status codes: \([0-9]*\) 2xx, [0-9]* 3xx, \([0-9]*\) 4xx.*/\1 \2/p' "$work/report")"
want=$((limit * seconds))
echo "asked $((admitted + refused)) times in $seconds s: $admitted admitted, want $want"
[ $((admitted * 100)) -ge $((want * 99)) ] && [ $((admitted * 100)) -le $((want * 101)) ]
