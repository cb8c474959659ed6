#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A real browser, and a gateway between it and the sites: the example site through the reverse proxy, by HTTP/1.1 and,
# with TLS, by HTTP/2; and the chat of examples/websocket-chat.
# usage: browser-gateway.sh BUILD
. "$(dirname "$0")/common.bash"
. "$(dirname "$0")/browser.bash"

children=()
end_children() {
    for child in "${children[@]}"; do
        kill -KILL "$child" 2>/dev/null
    done
    end_all 2>/dev/null # a browser on its way out may still write its profile
}
trap end_children EXIT

start "$work/site"
children+=("$server_pid")
disown "$server_pid" # or the shell tells when it is killed
mv "$log" "$work/site.log" # that of the gateway gets its name
mkdir -p "$work/gateway"
cat >"$work/gateway/10-all.c" <<C
#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    zs_res_add_header(ZS_STR("x-gateway"), ZS_STR("yes"));
    zs_reverse_proxy(ZS_STR("http://127.0.0.1:$port"));
    return 0;
}
C
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=gateway \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
start --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" "$work/gateway/10-all.c"
secure_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$log")
like "the gateway is there" "$(head_of /)" '^x-gateway: yes$'

page_is_fine / 200 6
page_is_fine /gallery/ 200 16
page_is_fine /no/such/page 404 4
page_is_fine /old-guide 200 6
url=https://127.0.0.1:$secure_port
browser_flags=(--ignore-certificate-errors)
page_is_fine / 200 6
page_is_fine /gallery/ 200 16
logged "with TLS it was HTTP/2" '"GET /gallery/ HTTP/2'
stop
is "SIGTERM ends the gateway with status 0" "$status" 0

cp -r "$root/examples/websocket-chat" "$work/chat"
: >"$work/chat.out"
python3 "$work/chat/.zeroserve/chat.py" 0 >>"$work/chat.out" 2>&1 &
children+=($!)
disown
await "$work/chat.out" '^port'
sed -i "s/9021/$(sed -n 's/^port //p' "$work/chat.out")/" "$work/chat/.zeroserve/scripts/10-chat.c"
start --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" "$work/chat"
secure_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\).*|\1|p' "$log")

chat_at() { # chat_at ORIGIN TEXT: a browser opens the page there, says the text, and is heard until it leaves.
    : >"$work/chat.out"
    "$browser" "${browser_basics[@]}" --ignore-certificate-errors "$1/#${2// /%20}" >"$work/browser.out" 2>&1 &
    children+=($!)
    disown
    for _ in $(seq 600); do
        grep -q "$2" "$work/chat.out" && break
        sleep 0.1
    done
    like "the chat hears the browser" "$(cat "$work/chat.out")" "^$2\$"
    kill "${children[-1]}"
    while kill -0 "${children[-1]}" 2>/dev/null; do
        sleep 0.05
    done
    await "$work/chat.out" 'somebody left'
    like "and that it left" "$(cat "$work/chat.out")" '^somebody left, 0 here$'
}

chat_at "$url" "hello from a browser"
logged "by an upgrade" '"GET /chat HTTP/1.1" 101'
chat_at "https://127.0.0.1:$secure_port" "hello by HTTP 2"
logged "by a stream of HTTP/2" '"CONNECT /chat HTTP/2'
stop
is "SIGTERM ends the server with status 0" "$status" 0
finish
