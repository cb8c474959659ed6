#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# HTTPS with real clients: curl and openssl s_client. Usage: tls.sh BUILD
. "$(dirname "$0")/common.bash"

# pair NAME ARGUMENT...: NAME.key and NAME.pem, self-signed for localhost
pair() {
    local name=$1
    shift
    openssl req -x509 "$@" -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$work/$name.key" -out "$work/$name.pem" 2>/dev/null
}
pair ec -newkey ec -pkeyopt ec_paramgen_curve:P-256
pair rsa -newkey rsa:2048

find_tls_port() { # sets tls_port
    for _ in $(seq 100); do
        tls_port=$(sed -n 's|^listening on https://127\.0\.0\.1:\([0-9]*\) .*|\1|p' "$log")
        [ -n "$tls_port" ] && break
        sleep 0.05
    done
}

start_tls() { # start_tls PAIR ARGUMENT...: start with TLS; sets tls_port, and url to the https one
    local pair=$1
    shift
    start --tls-addr 127.0.0.1:0 --cert "$work/$pair.pem" --key "$work/$pair.key" "$@"
    find_tls_port
    plain_url=$url
    url=https://localhost:$tls_port
    trusted=(--cacert "$work/$pair.pem" --resolve "localhost:$tls_port:127.0.0.1")
}

client() { # client ARGUMENT...: openssl s_client without input
    timeout 15 openssl s_client -connect "127.0.0.1:$tls_port" "$@" </dev/null 2>&1
}

https_raw() { # https_raw REQUEST...: sends the text (printf escapes), prints what comes until the server closes
    printf '%b' "$1" | timeout 15 openssl s_client -quiet -ign_eof -connect "127.0.0.1:$tls_port" 2>/dev/null |
        tr -d '\r'
}

mkdir -p "$work/site/.zeroserve/scripts"
echo '<h1>hello</h1>' >"$work/site/index.html"
head -c 10000000 /dev/urandom >"$work/site/large.bin"
cat >"$work/site/.zeroserve/scripts/tls.c" <<'END'
#include <zeroserve.h>

ZS_ENTRY
zs_u64 entry(void)
{
    char path[16];
    char text[16] = "0 ";
    if (zs_req_path(path, sizeof path) != 5 || path[1] != 'i' || path[2] != 'n') {
        return 0;
    }
    text[0] += (char)zs_req_is_tls();
    zs_s64 bytes = zs_req_scheme(text + 2, sizeof text - 2);
    zs_respond(200, text, 2 + (zs_u64)bytes);
    return 0;
}
END

# ---- TLS 1.3 ----

start_tls ec --threads 2 "$work/site"
like "it tells both addresses" "$(cat "$log")" '^listening on https://127\.0\.0\.1:[0-9]+ \(2 worker thread\(s\)\)$'
is "https answers" "$(get / "${trusted[@]}")" '<h1>hello</h1>'
is "http answers beside it" "$(curl -sS -m 20 "$plain_url/")" '<h1>hello</h1>'
check "a client that does not trust it is not served" sh -c "! curl -s -m 20 --resolve localhost:$tls_port:127.0.0.1 $url/"
is "scripts see TLS" "$(get /info "${trusted[@]}")" '1 https'
is "scripts see no TLS" "$(curl -sS -m 20 "$plain_url/info")" '0 http'
get /large.bin "${trusted[@]}" -o "$work/large.got"
check "10 MB come through unchanged" cmp "$work/large.got" "$work/site/large.bin"
get /large.bin "${trusted[@]}" -o "$work/large.slow" --limit-rate 8M
check "also to a slow reader" cmp "$work/large.slow" "$work/site/large.bin"
is "keep-alive" "$(curl -sS -m 20 "${trusted[@]}" -o /dev/null -o /dev/null -o /dev/null \
    -w '%{num_connects} ' "$url/" "$url/missing" "$url/")" '1 0 0 '
is "HEAD" "$(curl -sSI -m 20 "${trusted[@]}" -w '%{http_code}' -o /dev/null "$url/large.bin")" 200
is "a body nobody wants" "$(code / "${trusted[@]}" --http1.1 --data-binary @"$root/README.md")" 405
get='GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'
last='GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
is "pipelined requests" "$(https_raw "$get$get$get$last" | grep -c '^<h1>hello')" 4
like "bad request" "$(https_raw 'GET /\r\n\r\n')" '^HTTP/1.1 400 '

answer=$(client -alpn http/1.1)
like "TLS 1.3 is spoken" "$answer" '^New, TLSv1\.3, Cipher is TLS_AES_128_GCM_SHA256'
like "ALPN http/1.1" "$answer" '^ALPN protocol: http/1\.1$'
like "ALPN prefers h2" "$(client -alpn http/1.1,h2 | tr -d '\0')" '^ALPN protocol: h2$'
like "no ALPN is fine" "$(client)" '^No ALPN negotiated$'
like "ALPN without a common protocol is refused" "$(client -alpn h3)" 'alert no application protocol'
like "TLS 1.2 is refused" "$(client -tls1_2)" 'alert protocol version'

printf '%b' "$last" | timeout 15 openssl s_client -quiet -ign_eof -connect "127.0.0.1:$tls_port" \
    -sess_out "$work/session" >/dev/null 2>&1
resumed=0
for _ in $(seq 8); do
    client -sess_in "$work/session" | grep -q '^Reused, TLSv1\.3' && resumed=$((resumed + 1))
done
is "sessions resume on every worker" "$resumed" 8
is "one ticket for a handshake" "$(printf '%b' "$last" | timeout 15 openssl s_client -ign_eof -msg \
    -connect "127.0.0.1:$tls_port" 2>/dev/null | grep -c NewSessionTicket)" 1
like "the end is told" "$(printf '%b' "$last" | timeout 15 openssl s_client -ign_eof -msg \
    -connect "127.0.0.1:$tls_port" 2>/dev/null)" '<<< TLS 1\.3, Alert.*close_notify'

# seen REGEX COUNT: waits until so many lines of s_client match
seen() {
    for _ in $(seq 200); do
        [ "$(grep -caE "$1" "$work/updates")" = "$2" ] && return
        sleep 0.05
    done
    return 1
}
with_key_updates() { # with_key_updates LETTER...: after each, a command of s_client, a request is answered
    local letter count=0
    coproc timeout 60 openssl s_client -connect "127.0.0.1:$tls_port" >"$work/updates" 2>&1
    for letter in "$@"; do
        count=$((count + 1))
        echo "$letter" >&"${COPROC[1]}"
        seen '^KEYUPDATE' "$count" || break
        printf '%b' "$get" >&"${COPROC[1]}"
        seen '^<h1>hello' "$count" || break
    done
    kill "$COPROC_PID"
}
with_key_updates k K k K K
is "the client changes keys" "$(grep -ca '^<h1>hello' "$work/updates")" 5
get /large.bin "${trusted[@]}" -o "$work/large.got" --tls13-ciphers TLS_CHACHA20_POLY1305_SHA256
check "10 MB under ChaCha20-Poly1305" cmp "$work/large.got" "$work/site/large.bin"
get /large.bin "${trusted[@]}" -o "$work/large.got" --tls13-ciphers TLS_AES_256_GCM_SHA384
check "10 MB under AES-256" cmp "$work/large.got" "$work/site/large.bin"
like "small records for a small client" "$(printf '%b' "$last" | timeout 15 openssl s_client -ign_eof \
    -maxfraglen 512 -connect "127.0.0.1:$tls_port" 2>/dev/null)" '^<h1>hello'

# ---- what is no TLS ----

check "plain HTTP on the TLS port is closed" timeout 5 bash -c \
    "exec 3<>/dev/tcp/127.0.0.1/$tls_port; printf 'GET / HTTP/1.1\r\n\r\n' >&3; cat <&3 >/dev/null"
check "garbage is closed" timeout 5 bash -c \
    "exec 3<>/dev/tcp/127.0.0.1/$tls_port; head -c 3000 /dev/zero >&3; cat <&3 >/dev/null; true"
timeout 14 bash -c "exec 3<>/dev/tcp/127.0.0.1/$tls_port; cat <&3" &
slow=$!
sleep 1
is "a silent client does not delay others" "$(get / "${trusted[@]}")" '<h1>hello</h1>'
wait "$slow"
is "a handshake has 10 seconds" $? 0

# ---- the end ----

curl -sS -m 20 "${trusted[@]}" --limit-rate 4M -o "$work/large.drain" "$url/large.bin" &
client_pid=$!
sleep 0.4
stop
is "SIGTERM: exit status" "$status" 0
wait "$client_pid"
check "SIGTERM: what has begun is finished" cmp "$work/large.drain" "$work/site/large.bin"
unlike "the log tells no secrets" "$(cat "$log")" 'PRIVATE|BEGIN|openssl'

# ---- TLS 1.2 and RSA ----

start_tls rsa --threads 2 --tls-min 1.2 "$work/site"
is "an RSA key serves" "$(get / "${trusted[@]}")" '<h1>hello</h1>'
is "TLS 1.2 serves" "$(get / "${trusted[@]}" --tls-max 1.2)" '<h1>hello</h1>'
like "X25519 is preferred" "$(client -tls1_2 -groups P-256:X25519)" '^Server Temp Key: X25519'
get /large.bin "${trusted[@]}" --tls-max 1.2 -o "$work/large.got"
check "10 MB with TLS 1.2" cmp "$work/large.got" "$work/site/large.bin"
like "below the minimum is refused" "$(client -tls1_1 -cipher 'ALL:@SECLEVEL=0')" 'alert protocol version'
like "no cipher without forward secrecy" "$(client -tls1_2 -cipher AES128-GCM-SHA256)" 'alert handshake failure'
client -tls1_2 -sess_out "$work/session2" >/dev/null
resumed=0
for _ in $(seq 8); do
    client -tls1_2 -sess_in "$work/session2" | grep -q '^Reused, TLSv1\.2' && resumed=$((resumed + 1))
done
is "sessions of TLS 1.2 resume on every worker" "$resumed" 8
stop
is "exit status" "$status" 0

# ---- several certificates ----

mkdir "$work/certs"
named() { # named FILE NAMES: a key and its certificate for these names
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
        -addext "subjectAltName=$2" -keyout "$work/certs/$1.key" -out "$work/certs/$1.pem" 2>/dev/null
}
named b 'DNS:b.test,DNS:*.b.test'
named a DNS:a.test
start --tls-addr 127.0.0.1:0 --cert-dir "$work/certs" "$work/site"
find_tls_port
shown() { # shown ARGUMENT...: the subject of the certificate a client gets
    client "$@" | sed -n 's/^subject=CN = //p'
}
is "the server name chooses" "$(shown -servername b.test)" b
is "also by *" "$(shown -servername www.b.test)" b
is "without a name the first" "$(shown -noservername)" a
like "a name nobody has is refused" "$(client -servername c.test)" 'unrecognized name'
like "* is one label" "$(client -servername x.www.b.test)" 'unrecognized name'
is "curl trusts it" "$(curl -sS -m 20 --cacert "$work/certs/b.pem" --resolve "www.b.test:$tls_port:127.0.0.1" \
    "https://www.b.test:$tls_port/")" '<h1>hello</h1>'
stop
is "exit status" "$status" 0

# ---- wrong usage ----

refused() { # refused NAME REGEX ARGUMENT...: exit status 2 and one line that matches
    local name=$1 regex=$2 output
    shift 2
    output=$("$server" "$@" "$work/site" 2>&1)
    is "$name: exit status" $? 2
    like "$name: the reason" "$output" "$regex"
    is "$name: one line" "$(wc -l <<<"$output")" 1
}
tls_flags=(--addr 127.0.0.1:0 --tls-addr 127.0.0.1:0)
echo junk >"$work/junk.pem"
refused "no certificate" '--tls-addr wants --cert.*openssl req' "${tls_flags[@]}"
refused "no address" '--cert and --key want --tls-addr' --cert a --key b
refused "missing certificate" '--cert /no/such: No such file' "${tls_flags[@]}" --cert /no/such --key "$work/ec.key"
refused "missing key" '--key /no/such: No such file' "${tls_flags[@]}" --cert "$work/ec.pem" --key /no/such
refused "no PEM" "--cert $work/junk.pem: no certificate" "${tls_flags[@]}" --cert "$work/junk.pem" --key "$work/ec.key"
refused "no key" "--key $work/junk.pem: no private key" "${tls_flags[@]}" --cert "$work/ec.pem" --key "$work/junk.pem"
refused "another's key" "--key $work/rsa.key: not the key" "${tls_flags[@]}" --cert "$work/ec.pem" --key "$work/rsa.key"
pair ec2 -newkey ec -pkeyopt ec_paramgen_curve:P-256
refused "another key of its kind" "--key $work/ec2.key: not the key" "${tls_flags[@]}" --cert "$work/ec.pem" --key "$work/ec2.key"
refused "a version that is none" '--tls-min 1.1: want 1.2 or 1.3' "${tls_flags[@]}" --tls-min 1.1 --cert a --key b
cp "$work/rsa.key" "$work/certs/zzz"
refused "a key without its certificate" "--cert-dir $work/certs/zzz: a key without" "${tls_flags[@]}" --cert-dir "$work/certs"
refused "half a pair" '--cert and --key go together' "${tls_flags[@]}" --cert a,b --key a

finish
