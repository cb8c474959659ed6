#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Scripts that judge TLS handshakes, with curl, openssl s_client and a client by hand.
# usage: handshake.sh BUILD
. "$(dirname "$0")/common.bash"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,DNS:*.localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
mkdir -p "$work/site/.zeroserve/scripts"
echo hello >"$work/site/index.html"
cat >"$work/site/.zeroserve/scripts/10-judge.c" <<'C'
#include <zeroserve.h>

static char name[256];
static char line[400];

static char *add(char *at, const char *text)
{
    return zs_stpcpy(zs_stpcpy(at, text), " ");
}

static zs_s64 text(zs_s64 of, const char *key, zs_u64 len)
{
    return zs_json_read_string(zs_json_get(of, key, len), name, sizeof name);
}

ZS_TLS_ENTRY zs_u64 hello(void)
{
    zs_s64 info = zs_connection_info();
    char *at = add(line, "hello");

    zs_req_peer_ip(name, sizeof name);
    at = add(at, name);
    text(zs_json_get(info, ZS_STR("fingerprint")), ZS_STR("ja4"));
    at = add(at, name);
    at = add(at, zs_req_tls_handshake_complete() ? "complete" : "incomplete");
    at = add(at, zs_req_method(name, sizeof name) > 0 ? name : "no-request");
    text(zs_json_get(info, ZS_STR("sni")), ZS_STR("inner"));
    at = add(at, name);
    zs_strcpy(at, "\n");
    zs_log(ZS_STR(line));
    if (zs_strcmp(name, "refused.localhost") == 0)
        zs_abort();
    if (zs_strcmp(name, "answered.localhost") == 0)
        zs_respond(200, ZS_STR("hi"));
    if (zs_strcmp(name, "fault.localhost") == 0)
        *(volatile int *)0 = 1;
    if (zs_strcmp(name, "slow.localhost") == 0)
        for (volatile zs_u64 i = 0; i < 5000000; i++) {
        }
    if (zs_strcmp(name, "forever.localhost") == 0)
        for (volatile int i = 0;; i++) {
        }
    return 0;
}
C
cat >"$work/site/.zeroserve/scripts/20-next.c" <<'C'
#include <zeroserve.h>
ZS_TLS_ENTRY zs_u64 hello(void) { zs_log(ZS_STR("and the next\n")); return 0; }
ZS_ENTRY zs_u64 entry(void)
{
    zs_res_add_header(ZS_STR("x-complete"), ZS_STR(zs_req_tls_handshake_complete() ? "yes" : "no"));
    return 0;
}
C
start --threads 1 --tls-min 1.2 --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" "$work/site"
tls_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")

ask() { # ask HOST ARGUMENT...: status, protocol and x-complete
    local host=$1
    shift
    curl -sk -m 20 -o /dev/null -w '%{http_code} %{http_version} %header{x-complete}' \
        --resolve "$host:$tls_port:127.0.0.1" "$@" "https://$host:$tls_port/"
}

client() { # client ARGUMENT...: openssl s_client without input
    timeout 15 openssl s_client -connect "127.0.0.1:$tls_port" "$@" </dev/null 2>&1
}

is "admitted, by HTTP/2" "$(ask localhost)" "200 2 yes"
is "by HTTP/1.1" "$(ask localhost --http1.1)" "200 1.1 yes"
is "with TLS 1.2" "$(ask localhost --tls-max 1.2)" "200 2 yes"
logged "the script knows the client" 'hello 127.0.0.1 t13d[0-9a-z]*_[0-9a-f]{12}_[0-9a-f]{12} incomplete no-request localhost'
is "scripts run in order, once for each" "$(grep -c 'and the next' "$log")" 3
is "what runs at handshakes is no request" "$(grep -c '" 200 ' "$log")" 3
is "without TLS nothing runs" "$(code /) $(grep -c 'and the next' "$log")" "200 3"

for host in refused answered fault forever; do
    is "$host: no connection" "$(ask $host.localhost)" "000 0 "
    said=$(client -servername $host.localhost)
    like "$host: an alert" "$said" 'alert access denied|alert number 49'
    unlike "$host: no certificate" "$said" 'BEGIN CERTIFICATE'
done
is "after a refusal no other script runs" "$(grep -c 'and the next' "$log")" 3
logged "a fault is told" "script '10-judge': write to 0x0 in hello \(10-judge.c:[0-9]+\)"
logged "too much time, too" "script '10-judge':.*budget"

is "a script that takes longer" "$(ask slow.localhost)" "200 2 yes"
for _ in 1 2 3 4; do
    ask slow.localhost >>"$work/slow" &
    echo >>"$work/slow"
done
is "others meanwhile" "$(ask localhost)" "200 2 yes"
wait $(jobs -p | grep -v "^$server_pid$")
is "several at a time" "$(grep -o '200 2 yes' "$work/slow" | wc -l)" 4
timeout 0.02 openssl s_client -connect "127.0.0.1:$tls_port" -servername slow.localhost </dev/null >/dev/null 2>&1
is "after a client that left" "$(ask localhost)" "200 2 yes"

count=$(grep -c 'and the next' "$log")
like "asked for another group first" "$(client -servername localhost -tls1_3 -groups X448:P-256)" 'Cipher is TLS_'
is "is one handshake all the same" "$(grep -c 'and the next' "$log")" $((count + 1))

# A ClientHello byte by byte, and with what may follow it in one piece.
cat >"$work/by_hand.py" <<'PYTHON'
import socket, ssl, sys, time
port, way = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(incoming, outgoing, server_hostname="slow.localhost")
sock = socket.create_connection(("127.0.0.1", port), 20)
sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
try:
    tls.do_handshake()
except ssl.SSLWantReadError:
    hello = outgoing.read()
if way == "pieces":
    for at in range(len(hello)):
        sock.sendall(hello[at : at + 1])
elif way == "behind":
    sock.sendall(hello + b"\x14\x03\x03\x00\x01\x01")  # change_cipher_spec, of no meaning in TLS 1.3
else:
    sock.sendall(hello)
    try:
        for _ in range(80):
            sock.sendall(b"\x17\x03\x03\x40\x00" + bytes(16384))
        while sock.recv(65536):
            pass
    except OSError:
        pass
    print("ended")
    sys.exit()
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        sock.sendall(outgoing.read())
        incoming.write(sock.recv(65536))
tls.write(b"GET / HTTP/1.1\r\nHost: slow.localhost\r\nConnection: close\r\n\r\n")
sock.sendall(outgoing.read())
while True:
    data = sock.recv(65536)
    if not data:
        break
    incoming.write(data)
print(tls.read(12).decode())
PYTHON
is "byte by byte" "$(python3 "$work/by_hand.py" "$tls_port" pieces)" "HTTP/1.1 200"
is "with more behind it" "$(python3 "$work/by_hand.py" "$tls_port" behind)" "HTTP/1.1 200"
is "with too much behind it" "$(python3 "$work/by_hand.py" "$tls_port" flood)" "ended"
is "and then another" "$(ask localhost)" "200 2 yes"

rm "$work/site/.zeroserve/scripts/10-judge.c"
kill -HUP "$server_pid"
logged "reloaded" '^reloaded'
is "a reload takes the script away" "$(ask refused.localhost)" "200 2 yes"
stop
is "SIGTERM ends the server with status 0" "$status" 0
unlike "no sanitizer has anything to say" "$(cat "$log")" 'ERROR: |runtime error'
finish
