#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What scripts can do to a request, and what misbehaving ones cannot do to the server: they loop,
# fault, scribble and overflow on one worker, while other requests on it are answered.
# usage: scripts.sh BUILD
. "$(dirname "$0")/common.bash"

site=$work/site
mkdir -p "$site/.zeroserve/scripts" "$site/sub"
echo plain >"$site/index.html"
echo target >"$site/sub/target.txt"
seq 1 20000 >"$site/big.txt"

# script NAME BODY: a request script whose body may use `path`.
script() {
    {
        printf '#include <zeroserve.h>\nstatic char path[256];\nstatic volatile zs_u64 sink;\n%s\n' "${3:-}"
        printf 'ZS_ENTRY zs_u64 entry(void)\n{\n    zs_req_path(path, sizeof path);\n'
        printf '    (void)sink;\n%s\n    return 0;\n}\n' "$2"
    } >"$site/.zeroserve/scripts/$1.c"
}

script 10-loop '    if (zs_strcmp(path, "/loop") == 0)
        for (;;)
            sink++;'
script 11-helper-loop '    if (zs_strcmp(path, "/helper-loop") == 0)
        for (;;)
            sink += zs_now_ms();'
script 12-fault '    if (zs_strcmp(path, "/null") == 0)
        sink = *(volatile zs_u64 *)8;
    if (zs_strcmp(path, "/read-only") == 0)
        *(volatile char *)text = 1;
    if (zs_strcmp(path, "/bad-pointer") == 0)
        zs_log((const char *)0x7fff0000, 100);
    if (zs_strcmp(path, "/bad-length") == 0)
        zs_log(path, 1ull << 40);
    if (zs_strcmp(path, "/overlap") == 0)
        zs_memcpy(path, path + 1, 8);' 'static const char text[] = "constant";'
script 13-recursion '    if (zs_strcmp(path, "/recursion") == 0)
        sink = deep(1);' 'static __attribute__((noinline)) zs_u64 deep(zs_u64 n)
{
    volatile char room[256];
    room[n & 255] = 1;
    return n == 0 ? 0 : deep(n + 1) + room[0];
}'
script 14-scribble '    if (zs_strcmp(path, "/scribble") == 0) {
        zs_u64 random[2];
        zs_u64 i;
        zs_getrandom(random, sizeof random);
        for (i = 0; i < 64; i++) {
            random[0] = random[0] * 6364136223846793005ull + 1442695040888963407ull;
            *(volatile zs_u64 *)(random[0] ^ (random[1] << (i & 31))) = random[0];
        }
    }'
script 15-state '    if (zs_strcmp(path, "/state") == 0) {
        char text[12];
        zs_utoa10(++count, text, sizeof text);
        zs_respond(200, ZS_STR(text));
    }' 'static unsigned count = 41;'
script 20-request '    char text[256];
    if (zs_strcmp(path, "/echo") == 0) {
        zs_req_header(ZS_STR("x-echo"), text, sizeof text);
        zs_respond(200, ZS_STR(text));
    }
    if (zs_strcmp(path, "/param") == 0) {
        zs_req_query_param(ZS_STR("p"), text, sizeof text);
        zs_respond(200, ZS_STR(text));
    }
    if (zs_strcmp(path, "/method") == 0) {
        zs_req_method(text, sizeof text);
        zs_respond(202, ZS_STR(text));
    }
    if (zs_strcmp(path, "/peer") == 0) {
        zs_req_peer_ip(text, sizeof text);
        zs_respond(200, ZS_STR(text));
    }
    if (zs_strcmp(path, "/moved") == 0)
        zs_req_set_uri(ZS_STR("/sub/target.txt"));
    if (zs_strcmp(path, "/bad-uri") == 0)
        zs_req_set_uri(ZS_STR("/%zz"));
    if (zs_strcmp(path, "/abort") == 0)
        zs_abort();
    if (zs_strcmp(path, "/cookies") == 0) {
        zs_res_add_header(ZS_STR("set-cookie"), ZS_STR("a=1"));
        zs_res_add_header(ZS_STR("set-cookie"), ZS_STR("b=2"));
        zs_respond(200, ZS_STR("two"));
    }
    if (zs_strcmp(path, "/inject") == 0) {
        zs_meta_set(ZS_STR("zs.response.header.x-bad"), ZS_STR("a\r\nx-evil: 1"));
        zs_respond(200, ZS_STR("sent"));
    }
    if (zs_strcmp(path, "/log") == 0)
        zs_log(ZS_STR("one line\nsecond \x1b[31m line"));
    if (zs_strcmp(path, "/status") == 0)
        zs_respond(1000, ZS_STR("no such status"));'
script 30-header '    zs_meta_set(ZS_STR("zs.response.header.x-chain"), ZS_STR("reached"));'

run_all() { # run_all NAME ARGUMENT...: every case, with these server flags
    local engine=$1
    shift
    start --threads 1 --script-cpu-budget-ms 800 "$@" "$work/site.tar"

    # ---- ordinary work ----
    is "$engine: a header is read" "$(get /echo -H 'X-Echo: hello')" hello
    is "$engine: a repeated header gives its last value" "$(get /echo -H 'X-Echo: a' -H 'x-echo: b')" b
    is "$engine: a parameter is decoded" "$(get '/param?q=1&p=a%20b%2Bc+d&p=x')" "a b+c d"
    is "$engine: method" "$(get /method -X PATCH)" PATCH
    is "$engine: status" "$(code /method)" 202
    is "$engine: peer address" "$(get /peer)" 127.0.0.1
    is "$engine: another URI serves another file" "$(get /moved)" target
    is "$engine: a URI that is no URI is an error" "$(code /bad-uri | grep -cE '^(400|500)$')" 1
    get /abort >/dev/null 2>&1
    is "$engine: abort closes without an answer" $? 52
    is "$engine: two cookies" "$(head_of /cookies | grep -ci '^set-cookie: [ab]=')" 2
    unlike "$engine: a value cannot start a header of its own" "$(head_of /inject)" '^x-evil'
    like "$engine: a script that passes leaves its header" "$(head_of /)" '^x-chain: reached$'
    unlike "$engine: a script that answered ends the chain" "$(head_of /echo)" '^x-chain'
    is "$engine: an impossible status is 500" "$(code /status)" 500
    is "$engine: variables start afresh" "$(get /state) $(get /state) $(get /state)" "42 42 42"
    get /log >/dev/null
    logged "$engine: log line" '^.*\[user_log\].*20-request.*: one line$'
    logged "$engine: last log line without newline, controls removed" 'second \?\[31m line$'

    # ---- endless loops ----
    for loop in loop helper-loop; do
        curl -sS -m 20 -o /dev/null -w '%{http_code} %{time_total}' "$url/$loop" >"$work/$loop" &
        local client=$!
        sleep 0.05
        local answered=0 slowest
        slowest=$(for _ in $(seq 20); do
            curl -sS -m 5 -o /dev/null -w '%{time_total} %{http_code}\n' "$url/big.txt"
        done | grep ' 200$' | sort -n | tee "$work/others" | tail -n 1 | cut -d' ' -f1)
        answered=$(wc -l <"$work/others")
        is "$engine: $loop: others on its worker are answered" "$answered" 20
        is "$engine: $loop: and soon (slowest $slowest s)" \
            "$(awk -v t="$slowest" -v most="$(sanitized && echo 0.7 || echo 0.4)" 'BEGIN { print t < most }')" 1
        wait "$client"
        is "$engine: $loop: gets a 500" "$(cut -d' ' -f1 "$work/$loop")" 500
        logged_count "$engine: $loop: one log line names script and place" "^script '[^ ]*-$loop.*entry" 1
    done
    seq 8 | xargs -P 8 -I{} curl -sS -m 100 -o /dev/null -w '%{http_code}\n' "$url/loop" >"$work/eight"
    is "$engine: eight loops at once all end" "$(sort "$work/eight" | uniq -c | xargs)" "8 500"
    logged_count "$engine: each has its line" "^script '[^ ]*-loop.*entry" 10

    # ---- faults ----
    local before case
    for case in null read-only bad-pointer bad-length overlap recursion; do
        before=$(grep -c "^script '" "$log")
        is "$engine: $case is 500" "$(code /$case)" 500
        is "$engine: $case has an empty body" "$(get /$case | wc -c)" 0
        logged_count "$engine: $case logs a line each" "^script '" $((before + 2))
    done
    unlike "$engine: a fault ends the chain" "$(head_of /null)" '^x-chain'
    logged "$engine: the line names script and function" '12-fault.*entry'
    local place
    place=12-fault.c:$(grep -n 'u64 \*)8' "$site/.zeroserve/scripts/12-fault.c" | cut -d: -f1)
    logged "$engine: and file and line" "read of 0x8 in entry \\($place\\), instruction [0-9]"

    # A client that leaves takes its script along.
    for _ in $(seq 5); do
        curl -s -m 0.02 -o /dev/null "$url/loop"
    done

    # ---- random pointers ----
    seq 400 | xargs -P 4 -n 50 sh -c \
        'for i; do curl -sS -m 10 -o /dev/null -w "%{http_code}\n" "$0/scribble"; done' "$url" >"$work/scribble"
    is "$engine: random writes end in 500 or hit own memory" \
        "$(grep -vcE '^(500|200|404)$' "$work/scribble") of $(wc -l <"$work/scribble")" "0 of 400"
    is "$engine: the server is unharmed" "$(get /big.txt | cmp - "$site/big.txt" && get /state)" 42
    stop
    is "$engine: and ends with status 0" "$status" 0
}

"$server" --pack "$site" >"$work/site.tar" 2>"$work/errors" ||
    { result "site packs" 1 "$(cat "$work/errors")"; finish; }
run_all jit
run_all interpreter --no-jit

# ---- plugins run before the site ----
mkdir "$work/plugins"
printf '#include <zeroserve.h>\nZS_ENTRY zs_u64 entry(void)\n{\n    zs_respond(200, ZS_STR("plugin"));\n    return 0;\n}\n' \
    >"$work/plugins/a.c"
start --plugin "$work/plugins/a.c" "$work/site.tar"
is "--plugin runs first" "$(get /state)" plugin
stop
start --plugin-dir "$work/plugins" "$work/site.tar"
is "--plugin-dir runs first" "$(get /)" plugin
stop

# ---- what a script does when the site is loaded ----
mkdir -p "$work/init/.zeroserve/scripts"
printf '#include <zeroserve.h>\nZS_INIT_ENTRY(setup)\n{\n    zs_log(ZS_STR("set up\\n"));\n    return 0;\n}\n' \
    >"$work/init/.zeroserve/scripts/a.c"
is "--check runs init entries" "$("$server" --check "$work/init" 2>&1 | grep -c '^\[user_log\] 0: a: set up$')" 1
printf '#include <zeroserve.h>\nZS_INIT_ENTRY(setup)\n{\n    return zs_json_type(1);\n}\n' \
    >"$work/init/.zeroserve/scripts/b.c"
"$server" --addr 127.0.0.1:0 "$work/init" >"$work/said" 2>&1
is "an init entry that faults stops the start" $? 2
is "with one line" "$(grep -c '^zeroserve: ' "$work/said") $(wc -l <"$work/said")" "1 2"
like "that names script, function and reason" "$(cat "$work/said")" "'b': zeroserve.init.setup: .*no such JSON handle"
finish
