#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The server benchmark still works: its quick run, with this server alone, and that it leaves nothing behind.
# Usage: bench.sh BUILD
. "$(dirname "$0")/common.bash"

bench() { # bench ARGUMENT...: its output; scratch files go below $work
    TMPDIR=$work python3 "$root/bench/server/bench.py" --build "$build" --out "$work/out" "$@" 2>&1
}

value() { # value PYTHON: of the numbers written, as `items`
    python3 -c "import json; items = json.load(open('$work/out/server.json'))['workloads']; print($1)" 2>&1
}

left() { # processes that name the scratch folder
    grep -lsa -- "$work/[z]eroserve-bench" /proc/[0-9]*/cmdline | grep -c .
}

like "workloads are listed" "$(bench --list)" '^small-h2 +174 B, h2\+TLS$'
text=$(bench --only no-such-workload)
like "an unknown workload is refused" "$?: $text" '^1: bench: --only no-such-workload: no such workload'

text=$(bench --quick --servers zeroserve --only small-plain,small-h,json-h2,chain,memory)
is "the quick run ends well: $text" "$?" 0
like "plain" "$text" '^174 B, h1 plain +zeroserve +[0-9]+ +[0-9.]+ '
like "three scripts have a row of their own" "$text" '^ +three scripts +[0-9]+ +[0-9.]+ '
is "all were measured" "$(value 'sorted(items)')" \
    "['chain', 'json-h2', 'memory', 'proxy-small-h1', 'proxy-small-h2', 'proxy-small-plain', 'small-h1', 'small-h2', 'small-plain']"
is "requests were answered and counted" \
    "$(value '[i["servers"]["zeroserve"]["count"] for n, i in items.items() if n.startswith("small")]')" "[200, 200, 200]"
is "each cost processor time" \
    "$(value 'all(s["cpu_us"] > 0 for i in items.values() if i["kind"] == "http" for s in i["servers"].values())')" True
is "idle connections stayed open" "$(value 'items["memory"]["servers"]["zeroserve"]["many_open"]')" 50
text=$(bench --quick --servers zeroserve,floor --only small-plain)
like "what looks at nothing answers" "$text" '174 B, h1 plain.*'$'\n'' +sockets alone +[0-9]+ '
like "and passes on" "$text" 'proxied 174 B.*'$'\n'' +sockets alone +[0-9]+ '
text=$(bench --quick --servers zeroserve,floor --only threads-)
like "workers that look at nothing answer" "$text" $'\n'' +sockets, two +[0-9]+ '
like "two workers run a script that takes its time" "$text" 'script of 0.5 ms, workers +one worker .*'$'\n'' +two workers +[0-9]+ '
is "no process is left" "$(left)" 0
is "no file is left" "$(find "$work" -maxdepth 1 -name 'zeroserve-bench-*')" ''
finish
