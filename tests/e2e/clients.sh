#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real clients, each over what it speaks: curl, nghttp, h2load, openssl s_client, python's http.client and h2, and a
# Chromium over HTTP/2.
# usage: clients.sh BUILD
. "$(dirname "$0")/common.bash"

mkdir "$work/site"
cat >"$work/site/index.html" <<'END'
<!doctype html><title>page</title><link rel="stylesheet" href="/style.css"><p id="out">nothing</p>
<script src="/page.js"></script>
END
echo 'p { color: rgb(1, 2, 3) }' >"$work/site/style.css"
cat >"$work/site/page.js" <<'END'
addEventListener("load", function () {
    const protocol = performance.getEntriesByType("navigation")[0].nextHopProtocol;
    const color = getComputedStyle(document.getElementById("out")).color;
    document.getElementById("out").textContent = "REPORT " + protocol + " " + color;
});
END
echo small >"$work/site/small.txt"
head -c 3000000 /dev/urandom >"$work/site/big.bin"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

start --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" --tls-min 1.2 "$work/site"
await "$log" '^listening on https:'
tls_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")

secure=(--cacert "$work/cert.pem" --connect-to "localhost:443:127.0.0.1:$tls_port" -sS -m 30)
for version in 1.0 1.1 2 2-prior-knowledge; do
    is "curl over HTTP/$version" "$(get /small.txt "--http$version")" small
done
for tls in 1.2 1.3; do
    is "curl over TLS $tls" "$(curl "${secure[@]}" "--tlsv$tls" --tls-max "$tls" -w ' %{http_version}' \
        https://localhost/small.txt)" "$(printf 'small\n 2')"
done
curl "${secure[@]}" -Z -o "$work/got#1" "https://localhost/big.bin?[1-8]" 2>/dev/null
whole=0
for i in 1 2 3 4 5 6 7 8; do
    cmp -s "$work/site/big.bin" "$work/got$i" && whole=$((whole + 1))
done
is "eight downloads at a time" "$whole" 8

like "nghttp over TLS" "$(nghttp -nsv "https://localhost:$tls_port/small.txt" 2>&1)" ':status: 200'
like "nghttp with prior knowledge, many streams" "$(nghttp -ns -m 20 "http://127.0.0.1:$port/small.txt" 2>&1)" \
    ' 200 +6 /small.txt'
like "h2load over TLS" "$(h2load -n 500 -c 5 -m 10 "https://127.0.0.1:$tls_port/small.txt" 2>&1)" \
    '500 succeeded, 0 failed, 0 errored, 0 timeout'
like "h2load over HTTP/1.1" "$(h2load --h1 -n 500 -c 5 "http://127.0.0.1:$port/small.txt" 2>&1)" \
    '500 succeeded, 0 failed, 0 errored, 0 timeout'
like "openssl s_client" "$(printf 'GET /small.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
    timeout 20 openssl s_client -quiet -ign_eof -verify_return_error -CAfile "$work/cert.pem" -servername localhost \
        -connect "127.0.0.1:$tls_port" 2>&1)" '^small'

cat >"$work/client.py" <<'END'
import http.client, socket, ssl, sys
import h2.connection, h2.events
cert, port, tls_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context(cafile=cert)
for client in (http.client.HTTPConnection("127.0.0.1", port, timeout=30),
               http.client.HTTPSConnection("localhost", tls_port, timeout=30, context=context)):
    for _ in range(3):
        client.request("GET", "/small.txt", headers={"Host": "localhost"})
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"small\n")
context.set_alpn_protocols(["h2"])
channel = context.wrap_socket(socket.create_connection(("localhost", tls_port), timeout=30), server_hostname="localhost")
client = h2.connection.H2Connection()
client.initiate_connection()
for stream in (1, 3, 5):
    client.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"),
                                 (":path", "/small.txt")], end_stream=True)
ended, body = 0, b""
while ended < 3:
    channel.sendall(client.data_to_send())
    for event in client.receive_data(channel.recv(65536)):
        if isinstance(event, h2.events.DataReceived):
            body += event.data
            client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        ended += isinstance(event, h2.events.StreamEnded)
assert body == b"small\n" * 3, body
END
# The system's python has the package of python3-h2, another one may not.
check "python's http.client and h2" /usr/bin/python3 "$work/client.py" "$work/cert.pem" "$port" "$tls_port"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
[ -n "$browser" ] || { result "a chromium is installed" 1; finish; }
page=$(timeout 90 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions \
    --disable-dev-shm-usage --user-data-dir="$work/profile" --ignore-certificate-errors \
    --virtual-time-budget=10000 --dump-dom "https://localhost:$tls_port/" 2>"$work/browser.errors")
like "a browser over HTTP/2" "$page" 'REPORT h2 rgb\(1, 2, 3\)'

stop
is "the server ends clean" "$status" 0
finish
