#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a service manager does: sockets passed to the server, and the datagrams it sends. Usage: service.sh BUILD
. "$(dirname "$0")/common.bash"

mkdir "$work/site"
echo hello >"$work/site/index.html"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

# pass.py NAMES [KIND...] -- COMMAND...: runs the command with sockets of these kinds as descriptors 3 and up
cat >"$work/pass.py" <<'END'
import os
import socket
import sys

split = sys.argv.index("--")
names, kinds, command = sys.argv[1], sys.argv[2:split], sys.argv[split + 1:]
for place, kind in enumerate(kinds):
    family = socket.AF_INET6 if kind == "v6" else socket.AF_UNIX if kind == "unix" else socket.AF_INET
    made = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    if family != socket.AF_UNIX:
        made.bind(("::1" if kind == "v6" else "127.0.0.1", 0))
    if kind in ("v4", "v6"):
        made.listen(16)
    os.dup2(made.fileno(), 3 + place) if made.fileno() != 3 + place else None
    os.set_inheritable(3 + place, True)
    made.detach()
if names != "-":
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(kinds)), LISTEN_FDNAMES=names)
os.execv(command[0], command)
END

pass() { # pass NAMES KIND... -- ARGUMENT...: start the server with sockets; sets port and tls_port
    local sockets=()
    while [ "$1" != -- ]; do
        sockets+=("$1")
        shift
    done
    shift
    log=$work/server.log
    : >"$log"
    python3 "$work/pass.py" "${sockets[@]}" -- "$server" "$@" 2>"$log" &
    server_pid=$!
    for _ in $(seq 400); do
        grep -q '^listening on' "$log" && break
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.05
    done
    port=$(sed -n 's|^listening on http://.*:\([0-9]*\) .*|\1|p' "$log")
    tls_port=
    for _ in $(seq 400); do
        tls_port=$(sed -n 's|^listening on https://.*:\([0-9]*\) .*|\1|p' "$log")
        [ -n "$tls_port" ] && break
        [[ "$*" = *--cert* ]] || break
        sleep 0.05
    done
    url=http://127.0.0.1:$port
}

refused() { # refused NAME REGEX ...: as pass, but the server ends at once with this line
    local name=$1 wanted=$2
    shift 2
    pass "$@"
    wait "$server_pid"
    is "$name: exit status" "$?" 1
    server_pid=
    like "$name: the line" "$(cat "$log")" "$wanted"
}

# ---- sockets ----
pass "" v4 -- --threads 2 "$work/site"
is "a passed socket is used" "$(get /)" hello
like "by all workers" "$(cat "$log")" '^listening on http://127\.0\.0\.1:[0-9]+ \(2 worker thread\(s\)\)$'
for _ in 1 2 3 4 5 6 7 8; do code /; done >"$work/codes"
is "again and again" "$(cat "$work/codes")" 200200200200200200200200
tr '\0' '\n' <"/proc/$server_pid/environ" >"$work/environ"
like "the test passed it" "$(cat "$work/environ")" '^LISTEN_FDS=1$'
stop
is "ends clean" "$status" 0

pass web:https v4 v4 -- --cert "$work/cert.pem" --key "$work/key.pem" "$work/site"
is "HTTP by name" "$(get /)" hello
is "HTTPS by name" "$(curl -sS -m 20 --cacert "$work/cert.pem" --resolve "localhost:$tls_port:127.0.0.1" \
    "https://localhost:$tls_port/")" hello
stop
pass tls v6 -- --cert "$work/cert.pem" --key "$work/key.pem" "$work/site"
is "HTTPS alone" "$port" ""
is "on IPv6" "$(curl -sS -m 20 --cacert "$work/cert.pem" --connect-to "localhost:$tls_port:[::1]:$tls_port" \
    "https://localhost:$tls_port/")" hello
stop
pass - v4 v4 -- --addr fd:4 "$work/site"
is "fd:4" "$(get /)" hello
stop
pass a:b v4 v4 -- --addr 127.0.0.1:0 "$work/site"
is "--addr counts more than what was passed" "$(get /)" hello
stop

refused "two for HTTP" 'two sockets for HTTP' a:b v4 v4 -- "$work/site"
refused "HTTPS without certificate" 'wants --cert and --key' https v4 -- "$work/site"
refused "certificate without HTTPS" 'want a socket named https' http v4 -- --cert "$work/cert.pem" \
    --key "$work/key.pem" "$work/site"
refused "a socket of UDP" 'not a stream socket' - udp -- --addr fd:3 "$work/site"
refused "a socket of Unix" 'not a socket of IPv4 or IPv6' - unix -- --addr fd:3 "$work/site"
refused "no socket" 'fd:77: no such descriptor' - v4 -- --addr fd:77 "$work/site"
refused "no number" 'fd:x: want fd:N' - v4 -- --addr fd:x "$work/site"

# ---- notifications ----
cat >"$work/manager.py" <<'END'
# manager.py NAME COUNT: listens there, prints COUNT datagrams
import socket
import sys

name = sys.argv[1]
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.bind("\0" + name[1:] if name.startswith("@") else name)
manager.settimeout(60)
print("bound", flush=True)
for _ in range(int(sys.argv[2])):
    print(manager.recv(4096).decode(), flush=True)
END
for name in "$work/manager.socket" "@zeroserve-test-$$"; do
    : >"$work/told" # not what the one before was told
    python3 "$work/manager.py" "$name" 2 >"$work/told" &
    manager=$!
    await "$work/told" bound
    NOTIFY_SOCKET=$name start "$work/site"
    stop
    wait "$manager"
    is "$name: told twice" "$?" 0
    is "$name: the states" "$(grep -v '^STATUS' "$work/told" | tr '\n' ' ')" "bound READY=1  STOPPING=1  "
    like "$name: the status" "$(cat "$work/told")" "^STATUS=listening on http://127\\.0\\.0\\.1:$port\$"
done
NOTIFY_SOCKET=$work/nobody start "$work/site"
like "nobody listens: told" "$(cat "$log")" 'NOTIFY_SOCKET .*/nobody: '
is "nobody listens: served" "$(get /)" hello
stop
NOTIFY_SOCKET=relative start "$work/site"
like "no path: told" "$(cat "$log")" 'want a path or @name'
stop

finish
