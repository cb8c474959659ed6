#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Scripts from the start of the server to its end: what stops the start or fails a reload, which then changes nothing,
# and that a client that leaves takes its script along.
# usage: lifecycle.sh BUILD
. "$(dirname "$0")/common.bash"

site=$work/site
scripts=$site/.zeroserve/scripts
mkdir -p "$scripts" "$work/plugins"

# script FILE BODY [BEFORE]: a request script that says who it is in a field
script() {
    local name
    name=$(basename "$1" .c)
    {
        printf '#include <zeroserve.h>\n%s\nZS_ENTRY zs_u64 entry(void)\n{\n' "${3:-}"
        printf '    zs_res_add_header(ZS_STR("x-ran"), ZS_STR("%s"));\n    %s\n    return 0;\n}\n' "$name" "$2"
    } >"$1"
}
not_an_object() { printf 'not an object' >"$1"; }

echo one >"$site/index.html"
script "$scripts/10-first.c" ''
script "$scripts/20-second.c" ''
script "$work/plugins/90-late.c" ''
script "$work/one-plugin.c" ''

# ---- in which order
start --plugin-dir "$work/plugins" --plugin "$work/one-plugin.c" "$site"
is "plugins, folders of plugins, then the site" \
    "$(head_of / | sed -n 's/^x-ran: //p' | xargs)" "one-plugin 90-late 10-first 20-second"
stop

# ---- what stops the start
refuses() { # refuses NAME REGEX ARGUMENT...: exit status 2, and the last of at most two lines says why
    local name=$1 regex=$2 said
    shift 2
    said=$("$server" --addr 127.0.0.1:0 "$@" 2>&1)
    is "$name: does not start" $? 2
    like "$name: says why" "$(tail -n 1 <<<"$said")" "$regex"
}
cp "$work/one-plugin.c" "$work/plugins/10-first.c"
refuses "a name twice" "^zeroserve: .*'10-first'" --plugin-dir "$work/plugins" "$site"
rm "$work/plugins/10-first.c"
not_an_object "$work/bad.o"
refuses "a plugin that is no object" "^zeroserve: .*'bad' \\(.*bad\\.o\\): " --plugin "$work/bad.o" "$site"
echo 'int x = ;' >"$work/wrong.c"
refuses "a plugin that does not compile" "wrong\\.c" --plugin "$work/wrong.c" "$site"
script "$work/unknown.c" 'zs_no_such_helper();' 'extern zs_s64 zs_no_such_helper(void);'
refuses "a helper that is not there" "'unknown'.*zs_no_such_helper" --plugin "$work/unknown.c" "$site"
script "$work/init.c" '' 'ZS_INIT_ENTRY(setup) { return *(volatile zs_s64 *)8; }'
refuses "an init entry that faults" "'init': zeroserve\\.init\\.setup: read of 0x8" --plugin "$work/init.c" "$site"

# ---- what fails a reload
start "$site"
failures=0
fails_reload() { # fails_reload NAME REGEX: the site as it was is served on, and a line says why
    kill -HUP "$server_pid"
    logged "$1: is told" "^zeroserve: script $2"
    logged_count "$1: and the reload failed" '^reload failed: all stays as it was$' $((failures += 1))
    is "$1: the site stays" "$(get /) $(head_of / | sed -n 's/^x-ran: //p' | xargs)" "one 10-first 20-second"
}
echo two >"$site/index.html"
not_an_object "$scripts/30-bad.o"
fails_reload "reload, no object" "'30-bad'"
rm "$scripts/30-bad.o"
cp "$work/init.c" "$scripts/30-init.c"
fails_reload "reload, an init entry that faults" "'30-init': zeroserve\\.init\\.setup: read of 0x8"
rm "$scripts/30-init.c"
cp "$work/unknown.c" "$scripts/30-unknown.c"
fails_reload "reload, no such helper" "'30-unknown'.*zs_no_such_helper"
rm "$scripts/30-unknown.c"
kill -HUP "$server_pid"
eventually answers / two
is "a reload that works serves the new site" "$(get /)" two
stop

# ---- a fault names script, source line and cause
script "$scripts/20-auth.c" 'return check_token((const char *)zs_response_pending());' \
    'static __attribute__((noinline)) zs_u64 check_token(const char *token) { return token[0] == 1; }'
line=$(grep -n 'token\[0\]' "$scripts/20-auth.c" | cut -d: -f1)
start "$site"
is "a fault is 500" "$(code /)" 500
logged "and is told with its place" "^script '20-auth': read of 0x0 in check_token \\(20-auth\\.c:$line\\), instruction"
stop
rm "$scripts/20-auth.c"

# ---- a client that leaves
script "$scripts/30-loop.c" 'for (;;) (void)zs_now_ms();'
start --threads 1 --script-cpu-budget-ms 60000 "$site"
ticks() { awk '{ print $14 + $15 }' "/proc/$server_pid/stat"; }
curl -s -m 0.5 -o /dev/null "$url/"
idle=no
for _ in $(seq 20); do # the budget lasts longer than that
    before=$(ticks)
    sleep 0.5
    [ $(($(ticks) - before)) -lt 10 ] && idle=yes && break
done
is "a client that leaves cancels its script" "$idle" yes
unlike "which is no fault" "$(cat "$log")" "^script '30-loop'"
stop
finish
