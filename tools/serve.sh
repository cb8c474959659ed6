#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# serve.sh BUILD: packs examples/site into BUILD/site.tar and serves it, plain and with TLS. PORT and TLS_PORT in the
# environment choose other ports than 8080 and 8443. The certificate, for localhost alone and signed by itself, is made
# in BUILD/tls and made anew when a day of its month is left. Ends when the server does (Ctrl-C).
set -eu
build=${1:?usage: serve.sh BUILD}
root=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-8080}
tls_port=${TLS_PORT:-8443}
tls=$build/tls

"$build/zeroserve" --pack "$root/examples/site" >"$build/site.tar.new"
mv "$build/site.tar.new" "$build/site.tar"
if ! openssl x509 -in "$tls/cert.pem" -noout -checkend 86400 >/dev/null 2>&1; then
    mkdir -p "$tls"
    chmod 700 "$tls"
    (umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$tls/key.pem" -out "$tls/cert.pem" 2>/dev/null)
fi
echo "open http://127.0.0.1:$port/"
echo "  or https://127.0.0.1:$tls_port/ (browsers warn; curl --cacert $tls/cert.pem does not)"
exec "$build/zeroserve" --addr "127.0.0.1:$port" --tls-addr "127.0.0.1:$tls_port" --cert "$tls/cert.pem" \
    --key "$tls/key.pem" "$build/site.tar"
