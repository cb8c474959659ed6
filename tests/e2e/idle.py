# SPDX-License-Identifier: Apache-2.0
"""Memory of idle connections: many of each kind are opened, asked for a file once and left alone. The growth of the
server's memory, divided by their number, is within a bound. So is that of streams of HTTP/2 whose windows are shut.

Prints a line for each kind and `N passed, N failed` at the end. CONNECTIONS: how many of each kind (default 400).
usage: idle.py BUILD_FOLDER
"""

import os
import resource
import subprocess
import sys
import time

from attack_base import *

COUNT = int(os.environ.get("CONNECTIONS", "800"))
KIB = {"http/1.1": 6, "h2 plain": 12, "TLS http/1.1": 8, "TLS h2": 16, "blocked h2 stream": 4}  # of one


def open_one(server, kind):
    h2 = "h2" in kind
    if kind.startswith("TLS"):
        client = server.connect_tls("h2" if h2 else "http/1.1")
    else:
        client = server.connect()
    client.sendall(PREFACE + settings() + head(1) if h2 else request())
    got = b""
    while SMALL not in got:
        got += client.recv(1 << 14)
    if h2:
        client.sendall(frame(SETTINGS, ACK))
    return client


def measure(server, kind):
    clients = [open_one(server, kind) for _ in range(COUNT // 10)]  # what is allocated once
    time.sleep(1)  # a connection keeps its buffers for a while
    before = server.rss()
    clients += [open_one(server, kind) for _ in range(COUNT)]
    time.sleep(1)  # a connection keeps its buffers for a while
    grown = server.rss() - before
    close_all(clients)
    return grown / COUNT / 1024


def measure_streams(server):
    """A hundred on each connection."""
    block_ = b"".join(head(i, "/big.bin") for i in range(1, 201, 2))
    clients = [h2_connect(server, (4, 0)) for _ in range(20)]
    send(clients[0], block_)
    time.sleep(0.3)
    before = server.rss()
    for client in clients[1:]:
        send(client, block_)
    time.sleep(0.7)
    grown = server.rss() - before
    close_all(clients)
    return grown / 1900 / 1024


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    write("site/index.html", SMALL)
    write("site/big.bin", bytes(1 << 20))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-keyout", path("key.pem"), "-out", path("cert.pem")],
                   check=True, stderr=subprocess.DEVNULL)
    failed = 0
    for name, allowed in KIB.items():
        one = Server("--idle-timeout", "3600", "--disable-request-logging", "--drain-timeout", "1", "--tls-addr",
                     "127.0.0.1:0", "--cert", path("cert.pem"), "--key", path("key.pem"))
        kib = measure_streams(one) if "stream" in name else measure(one, name)
        bad = one.stop() != 0 or (kib > allowed and not SANITIZED)
        failed += bad
        print("%s %s: %.1f KiB each, at most %d" % ("FAIL" if bad else "ok  ", name, kib, allowed))
    print("%d passed, %d failed" % (len(KIB) - failed, failed))
    sys.exit(failed != 0)
