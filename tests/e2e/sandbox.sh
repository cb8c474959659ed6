#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Serving in each level of the sandbox: requests, scripts, TLS, reloads, logs. tests/unit/harden.c tells what is refused.
# Usage: sandbox.sh BUILD
. "$(dirname "$0")/common.bash"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
mkdir -p "$work/site/.zeroserve/scripts"
head -c 300000 /dev/urandom >"$work/site/file.bin"

script() { # script ANSWER: the site's script answers /script with this, and /spin with an endless loop
    cat >"$work/site/.zeroserve/scripts/a.c" <<END
#include <zeroserve.h>

ZS_ENTRY
zs_u64 entry(void)
{
    char path[16];
    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/script") == 0)
        zs_respond(200, ZS_STR("$1"));
    for (volatile int i = 1; zs_strcmp(path, "/spin") == 0 && i;)
        ;
    return 0;
}
END
}

status_of() { # status_of FIELD: of the server's main thread
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$server_pid/status"
}

serve() { # serve LEVEL SITE REPACK ARGUMENT...: what must work, whatever the level
    local level=$1 site=$2 repack=$3
    shift 3
    script one
    "$repack"
    start --sandbox "$level" --threads 2 --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" \
        --access-log "$work/log/access" "$@" "$site"
    logged "$level $*: HTTPS listens" '^listening on https'
    local tls_port
    tls_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")
    is "$level: a script answers" "$(get /script)" one
    get /file.bin | cmp -s - "$work/site/file.bin"
    result "$level: a file" $?
    is "$level: TLS" "$(curl -sS -m 20 --cacert "$work/cert.pem" --resolve "localhost:$tls_port:127.0.0.1" \
        "https://localhost:$tls_port/script")" one
    is "$level: an endless script ends" "$(code /spin)" 500
    script two
    "$repack"
    kill -HUP "$server_pid"
    logged "$level: reloads" '^reloaded$'
    local answer
    for _ in $(seq 100); do # workers take it up one by one
        answer=$(get /script)
        [ "$answer" = two ] && break
        sleep 0.05
    done
    is "$level: the new script answers" "$answer" two
    mv "$work/log/access" "$work/log/old"
    kill -USR1 "$server_pid"
    eventually [ -e "$work/log/access" ]
    check "$level: the log is made anew" [ -e "$work/log/access" ]
}

pack_site() {
    "$server" --pack "$work/site" >"$work/tar/new" && mv "$work/tar/new" "$work/tar/site.tar"
}

mkdir "$work/log" "$work/tar"
serve basic "$work/tar/site.tar" pack_site
is "basic: filter" "$(status_of Seccomp)" 2
is "basic: no new privileges" "$(status_of NoNewPrivs)" 1
check "basic: no capabilities" [ $((0x$(status_of CapEff) & ~4)) = 0 ]
like "basic: it says so" "$(cat "$log")" '^sandbox basic: no new privileges, .*no dangerous system calls'
stop
is "basic: ends clean" "$status" 0

serve strict "$work/tar/site.tar" pack_site
is "strict: filter" "$(status_of Seccomp)" 2
for task in /proc/"$server_pid"/task/*/status; do
    sed -n 's/^\(Seccomp\|NoNewPrivs\):[[:space:]]*//p' "$task" | xargs
done | sort -u >"$work/tasks"
is "strict: in all threads" "$(cat "$work/tasks")" "1 2"
like "strict: it says so" "$(cat "$log")" '^sandbox strict: '
stop
is "strict: ends clean" "$status" 0

serve strict "$work/site" true
like "strict with a folder: it says that it compiles" "$(cat "$log")" '^sandbox strict: .*a reload may run the compiler$'
stop
is "strict with a folder: ends clean" "$status" 0

serve off "$work/tar/site.tar" pack_site
unlike "off: says nothing" "$(cat "$log")" '^sandbox'
stop

if [ "$(id -u)" = 0 ] && ! sanitized; then
    chmod 755 "$work" "$work/tar" && chown nobody "$work/log" "$work/key.pem"
    serve strict "$work/tar/site.tar" pack_site --user nobody
    is "user: all ids" "$(status_of Uid | xargs)" "$(for _ in 1 2 3 4; do id -u nobody; done | xargs)"
    is "user: no capabilities" "$((0x$(status_of CapPrm)))" 0
    is "user: no group of root" "$(status_of Groups | tr ' ' '\n' | grep -cx 0)" 0
    stop
    is "user: ends clean" "$status" 0
    "$server" --addr 127.0.0.1:0 --user no-such-user "$work/tar/site.tar" 2>"$work/err"
    is "no such user: exit status" "$?" 1
    like "no such user: the line" "$(cat "$work/err")" '^zeroserve: --user no-such-user: there is no such user$'
fi

finish
