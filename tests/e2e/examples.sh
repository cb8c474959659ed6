#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every example: its own tests by zs-vm test, and the server itself where connections matter.
# usage: examples.sh BUILD
. "$(dirname "$0")/common.bash"

export BASIC_AUTH=ann:secret JWT_SECRET='example secret'
children=()
end_children() {
    for child in "${children[@]}"; do
        kill -KILL "$child" 2>/dev/null
    done
    end_all
}
trap end_children EXIT

flags_of() { # flags_of EXAMPLE: what its tests and the server are given
    case $1 in
    basic-auth) echo --script-env BASIC_AUTH ;;
    jwt) echo --script-env JWT_SECRET ;;
    rate-limit) echo --trusted-proxy 10.0.0.0/8 ;;
    esac
}

serve() { # serve EXAMPLE: starts the server on the tar of an example, after the one before ended
    [ -n "$server_pid" ] && stop
    "$server" --pack "$work/examples/$1" >"$work/$1.tar"
    # shellcheck disable=SC2046
    start --threads 2 $(flags_of "$1") "$work/$1.tar"
}

upstream() { # upstream NAME COMMAND...: runs it; sets up_port to what it prints as "port N"
    local out=$work/$1.out
    : >"$out"
    shift
    "$@" >"$out" 2>"$out.errors" &
    children+=($!)
    disown # or the shell tells when it is killed
    for _ in $(seq 400); do
        up_port=$(sed -n 's/^port \([0-9]*\)$/\1/p' "$out")
        [ -n "$up_port" ] && return
        sleep 0.05
    done
    result "$1 starts" 1 "$(cat "$out.errors")"
    finish
}

packs() { # packs FOLDER: into a tar that the server would serve
    "$server" --pack "$1" >"$work/packed.tar" && "$server" --check "$work/packed.tar"
}

cp -r "$root/examples" "$work/examples"
for folder in "$work"/examples/*/; do
    name=$(basename "$folder")
    [ "$name" = embed ] && continue
    # shellcheck disable=SC2046
    check "$name: its tests pass" "$build/zs-vm" test $(flags_of "$name") "$folder"
    check "$name: packs, and the tar is a site" packs "$folder"
    [ "$name" = site ] || check "$name: has a README" grep -q "examples/$name" "$folder/README.md"
done

# ---- over connections

serve health
like "health: JSON" "$(get /health)" '^\{"status":"ok","version":"[0-9.]+"\}$'
like "health: over HTTP/2" "$(get /health --http2-prior-knowledge)" '"status":"ok"'

serve redirects
like "redirects: an old page" "$(head_of /about-us)" '^location: /about$'
like "redirects: www" "$(head_of '/a?b' -H 'Host: www.example.org')" '^location: https://example.org/a\?b$'
is "redirects: a folder in place" "$(code /docs/)" 200

serve security-headers
like "security-headers: on a page" "$(head_of /)" '^x-content-type-options: nosniff$'
like "security-headers: on an error" "$(head_of /none)" '^x-content-type-options: nosniff$'

serve basic-auth
is "basic-auth: a stranger" "$(code /private/)" 401
is "basic-auth: the right password" "$(code /private/ -u ann:secret)" 200
is "basic-auth: a wrong one" "$(code /private/ -u ann:secre)" 401
is "basic-auth: the tests are not served" "$(code /.zeroserve/tests/private.http -u ann:secret)" 404

serve jwt
token=$(sed -n 's/^Authorization: Bearer //p' "$work/examples/jwt/.zeroserve/tests/token.http" | head -n 1)
is "jwt: with a token" "$(get /api/me -H "Authorization: Bearer $token")" '{"user":"ann"}'
is "jwt: without" "$(code /api/me)" 401

serve rate-limit
for _ in 1 2 3 4 5; do
    get /login >/dev/null
done
like "rate-limit: the sixth" "$(head_of /login)" '^retry-after: [0-9]+$'

serve ab-split
like "ab-split: a cookie" "$(head_of /)" '^set-cookie: group=[ab];'
like "ab-split: that counts" "$(get / -b group=b)" 'Page B'

serve maintenance
is "maintenance: everybody" "$(code /)" 503
sed -i 's/"on": true/"on": false/' "$work/examples/maintenance/data/maintenance.json"
"$server" --pack "$work/examples/maintenance" >"$work/new.tar"
mv "$work/new.tar" "$work/maintenance.tar"
kill -HUP "$server_pid"
eventually is_there /
is "maintenance: it ends by a reload" "$(code /)" 200

serve vhosts
like "vhosts: a host" "$(get / -H 'Host: b.example')" 'The site b.example'
is "vhosts: as a browser goes" "$(curl -sSL -m 20 -o /dev/null -w '%{http_code} %{url_effective}' --resolve "a.example:$port:127.0.0.1" \
    "http://a.example:$port/docs")" "200 http://a.example:$port/docs/"

serve spa
like "spa: an address without file" "$(get /users/7)" 'app-3f2a'
is "spa: a missing asset" "$(code /assets/none.js)" 404

serve validate-body
order='{"item": "apple", "count": 3}'
is "validate-body: an order" "$(get /orders -H 'Content-Type: application/json' -d "$order")" '{"status":"taken"}'
is "validate-body: in pieces" \
    "$(get /orders -H 'Content-Type: application/json' -H 'Transfer-Encoding: chunked' -d "$order")" '{"status":"taken"}'
is "validate-body: too long" "$(code /orders -H 'Content-Type: application/json' -d "\"$(printf '%05000d' 0)\"")" 413

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
stop
start --tls-addr 127.0.0.1:0 --cert "$work/cert.pem" --key "$work/key.pem" --access-log-format json "$work/examples/tls-guard"
tls_url=$(sed -n 's|^listening on \(https://127\.0\.0\.1:[0-9]*\) .*|\1|p' "$log")
secure_code() { curl -sk -m 20 -o /dev/null -w '%{http_code}' "$tls_url/"; }
is "tls-guard: a client" "$(secure_code)" 200
logged "tls-guard: its fingerprint is in the log" '"ja4": ?"t13'
ja4=$(sed -n 's/.*"ja4": *"\([^"]*\)".*/\1/p' "$log" | head -n 1)
sed -i "s/\"refused_ja4\": \[/&\"none\", \"$ja4\"/" "$work/examples/tls-guard/data/tls-guard.json"
kill -HUP "$server_pid"
logged "tls-guard: reloaded" '^reloaded'
is "tls-guard: refused" "$(secure_code)" 000
sed -i 's/"refused_ja4": .*/"refused_ja4": [],/; s/60/3/' "$work/examples/tls-guard/data/tls-guard.json"
kill -HUP "$server_pid"
logged_count "tls-guard: reloaded again" '^reloaded' 2
like "tls-guard: so many a minute" "$(for _ in 1 2 3 4 5 6; do secure_code; done)" '^(200){1,3}(000)+$'

serve template
like "template: a name" "$(get '/?name=Ann')" '<h1>Hello, Ann!</h1>'

# ---- with upstreams

cat >"$work/names.py" <<'PY'
"""NAME [PEM]: answers each request with its name, method, path, some fields, and the body; with TLS by that file."""
import http.server
import ssl
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = f"{sys.argv[1]} {self.command} {self.path} {self.headers['Host']} {self.headers['X-Internal-User']} "
        text = text.encode() + body + b"\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("port", server.server_address[1], flush=True)
    server.serve_forever()
PY
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/secure.key" -out "$work/secure.crt" 2>/dev/null
cat "$work/secure.key" "$work/secure.crt" >"$work/secure.pem"
upstream secure python3 "$work/names.py" secure "$work/secure.pem"
secure=$up_port
upstream one python3 "$work/names.py" one
one=$up_port
upstream two python3 "$work/names.py" two
two=$up_port
two_pid=${children[-1]}
upstream three python3 "$work/names.py" three
three=$up_port

sed -i "s|:9001|:$one|; s|:9002|:$two|; s|:9003|:$three|; s|:9004|:$secure|" "$work/examples/gateway/data/gateway.json"
serve gateway
is "gateway: an upstream whose certificate nobody vouches for" "$(code /reports/)" 502
logged "gateway: says so" 'certificate verify failed'
stop
export SSL_CERT_FILE=$work/secure.crt
serve gateway
unset SSL_CERT_FILE
is "gateway: an upstream with TLS" "$(get /reports/2024)" "secure GET /2024 127.0.0.1:$port None "
is "gateway: a body for it" "$(get /reports/new -d 'a=b')" "secure POST /new 127.0.0.1:$port None a=b"
is "gateway: a service" "$(get '/api/users?page=2')" "one GET /v1/users?page=2 127.0.0.1:$port None "
is "gateway: over HTTP/2" "$(get /api/ --http2-prior-knowledge)" "one GET /v1/ 127.0.0.1:$port None "
is "gateway: a body, and a field only we may send" "$(get /api/f -d 'a=b' -H 'X-Internal-User: root')" \
    "one POST /v1/f 127.0.0.1:$port None a=b"
first=$(get /app/)
like "gateway: one of the group" "$first" '^(two|three) GET /app/ '
same=0
for _ in 1 2 3 4 5; do
    [ "$(get /app/)" = "$first" ] && same=$((same + 1))
done
is "gateway: and always the same one" "$same" 5
unlike "gateway: what the upstream runs is not told" "$(head_of /app/)" '^server: .*python'
like "gateway: files beside it" "$(get /)" 'A file'
case $first in
two*) kill -KILL "$two_pid" ;;
*) kill -KILL "${children[-1]}" ;;
esac
eventually is_there /app/
like "gateway: when it is gone, the other one" "$(get /app/)" '^(two|three) GET /app/ '
[ "$(get /app/)" != "$first" ]
result "gateway: which is another one" $?

sed "s|answer(201, .*|zs_reverse_proxy(ZS_STR(\"http://127.0.0.1:$one\"));|" \
    "$root/examples/validate-body/.zeroserve/scripts/10-validate-body.c" \
    >"$work/examples/validate-body/.zeroserve/scripts/10-validate-body.c"
serve validate-body
is "validate-body: a body that was read goes on to an upstream" \
    "$(get /orders -H 'Content-Type: application/json' -d "$order")" "one POST /orders 127.0.0.1:$port None $order"

sed -i "s|:9011|:$one|; s|:9012|:$three|" "$work/examples/canary/.zeroserve/scripts/10-canary.c"
serve canary
like "canary: the old version" "$(get /x -H 'X-Canary: never')" '^one GET /x '
like "canary: says so" "$(head_of /x -H 'X-Canary: never')" '^x-version: old$'

cat >"$work/talk.py" <<'PY'
"""Two members of the chat at PORT: what one says, the other hears. Prints what it heard."""
import base64
import os
import socket
import sys


def join(port):
    member = socket.create_connection(("127.0.0.1", port), 20)
    key = base64.b64encode(os.urandom(16)).decode()
    member.sendall((f"GET /chat HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                    f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
    stream = member.makefile("rb")
    print(stream.readline().decode().strip())
    while stream.readline() != b"\r\n":
        pass
    return member, stream


def say(member, text):
    member.sendall(bytes([0x81, 0x80 | len(text)]) + b"\0\0\0\0" + text.encode())


def hear(stream):
    size = stream.read(2)[1]
    print(stream.read(size).decode())


ann, hears_ann = join(int(sys.argv[1]))
hear(hears_ann)
bob, hears_bob = join(int(sys.argv[1]))
hear(hears_ann)
hear(hears_bob)
say(bob, "hello")
hear(hears_ann)
bob.close()
hears_bob.close()
hear(hears_ann)
PY
upstream chat python3 "$work/examples/websocket-chat/.zeroserve/chat.py" 0
sed -i "s|:9021|:$up_port|" "$work/examples/websocket-chat/.zeroserve/scripts/10-chat.c"
serve websocket-chat
is "websocket-chat: two members" "$(timeout 60 python3 "$work/talk.py" "$port" 2>&1 | paste -sd '|')" \
    "HTTP/1.1 101 Switching Protocols|somebody came, 1 here|HTTP/1.1 101 Switching Protocols|somebody came, 2 here|somebody came, 2 here|hello|somebody left, 1 here"
is "websocket-chat: another site's page" "$(code /chat -H 'Origin: http://evil.example')" 403

stop
is "a clean stop" "$status" 0
finish
