#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTP/2: conformance in raw frames (h2.py), then real clients, with prior knowledge and over TLS.
# usage: h2.sh BUILD
. "$(dirname "$0")/common.bash"

mkdir "$work/site"
echo home >"$work/site/index.html"
head -c 1048576 /dev/urandom >"$work/site/big.bin"
tar -C "$work/site" -cf "$work/site.tar" index.html big.bin
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

start --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" "$work/site.tar"
tls_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")

# The system's python has the hpack package of python3-h2, another one may not.
/usr/bin/python3 "$(dirname "$0")/h2.py" "$port" | tee "$work/cases" | grep -v '^ok ' | grep -vE '^[0-9]+ passed'
read -r good _ bad _ < <(tail -n 1 "$work/cases")
passed=$((passed + ${good:-0}))
failed=$((failed + ${bad:-0}))
is "all cases of h2.py ran" "$((${good:-0} + ${bad:-0}))" "$(grep -cE '^(ok  |FAIL) ' "$work/cases")"

is "prior knowledge" "$(get / --http2-prior-knowledge -w '%{http_version}')" "$(printf 'home\n2')"
secure=(--cacert "$work/cert.pem" --connect-to "localhost:443:127.0.0.1:$tls_port" -sS -m 20)
is "ALPN" "$(curl "${secure[@]}" -w '%{http_version}' https://localhost/)" "$(printf 'home\n2')"
is "HTTP/1.1 when the client wants it" "$(curl "${secure[@]}" --http1.1 -w '%{http_version}' https://localhost/)" \
    "$(printf 'home\n1.1')"
curl "${secure[@]}" -o "$work/big" https://localhost/big.bin
check "a large file over TLS" cmp "$work/site/big.bin" "$work/big"
is "a range" "$(curl "${secure[@]}" -r 5-9 https://localhost/big.bin | od -An -tx1)" \
    "$(tail -c +6 "$work/site/big.bin" | head -c 5 | od -An -tx1)"
is "an upload nobody wants" "$(curl "${secure[@]}" -o /dev/null -w '%{http_code}' --data-binary "@$work/site/big.bin" \
    https://localhost/)" 405
like "many requests at a time" "$(h2load -n 2000 -c 4 -m 50 "https://127.0.0.1:$tls_port/" 2>&1)" \
    '2000 succeeded, 0 failed, 0 errored, 0 timeout'
like "large files at a time" "$(h2load -n 40 -c 2 -m 10 "http://127.0.0.1:$port/big.bin" 2>&1)" \
    '40 succeeded, 0 failed, 0 errored, 0 timeout'

stop
is "the server ends clean" "$status" 0
[ "$status" = 0 ] || tail -n 20 "$log"
finish
