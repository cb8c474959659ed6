# SPDX-License-Identifier: Apache-2.0
"""Memory of idle connections: many of each kind are opened, asked for a file once and left alone. The growth of the
server's memory, divided by their number, is within a bound. So is that of streams of HTTP/2 whose windows are shut,
whoever answers: the file server, with and without a script, a script that makes a page, or an upstream.

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
KIB = {"http/1.1": 6, "h2 plain": 6, "TLS http/1.1": 8, "TLS h2": 8}  # of one
BLOCKED_KIB = 4  # of one
BLOCKED = ("file", "scripted", "page", "proxied")
STREAMS = 1800
WARM_UP = 400  # streams before those: all of the ring's buffers are touched then
SCRIPT = r"""
#include <zeroserve.h>

ZS_ENTRY zs_u64 entry(void)
{
    char path[16];
    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/scripted") == 0) {
        zs_req_set_uri(ZS_STR("/big.bin"));
        zs_res_add_header(ZS_STR("x-scripted"), ZS_STR("yes"));
    } else if (zs_strcmp(path, "/page") == 0) {
        zs_req_set_uri(ZS_STR("/page.html"));
        zs_meta_set(ZS_STR("word"), ZS_STR("made"));
    } else if (zs_strcmp(path, "/proxied") == 0) {
        zs_req_set_uri(ZS_STR("/big.bin"));
        zs_reverse_proxy(ZS_STR("http://127.0.0.1:@PORT@"));
    }
    return 0;
}
"""


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


def settled(server):
    """Memory when it has not grown for a while."""
    last, same = server.rss(), 0
    while same < 5:
        time.sleep(0.1)
        now = server.rss()
        same = same + 1 if now == last else 0
        last = now
    return last


def measure_streams(server, target):
    """A hundred on each connection."""
    block_ = b"".join(head(i, target) for i in range(1, 201, 2))
    clients = [h2_connect(server, (4, 0)) for _ in range((WARM_UP + STREAMS) // 100)]
    for client in clients[:WARM_UP // 100]:
        send(client, block_)
    before = settled(server)
    for client in clients[WARM_UP // 100:]:
        send(client, block_)
    grown = settled(server) - before
    close_all(clients)
    return grown / STREAMS / 1024


def report(kind, kib, allowed, server):
    """Ends the server. True: something is wrong."""
    bad = server.stop() != 0 or (kib > allowed and not SANITIZED)
    print("%s %s: %.1f KiB each, at most %d" % ("FAIL" if bad else "ok  ", kind, kib, allowed))
    return bad


def start(*more, **options):
    return Server("--idle-timeout", "3600", "--disable-request-logging", "--drain-timeout", "1", *more, **options)


def measure_blocked():
    """Each kind by a server of its own. How many went wrong."""
    failed = 0
    upstream = start()
    write("scripted/big.bin", bytes(1 << 20))
    write("scripted/page.html", b"<p><zs-meta>word</zs-meta></p>" + bytes(1 << 20))
    write("scripted/.zeroserve/scripts/choose.c", SCRIPT.replace("@PORT@", str(upstream.port)))
    for kind in BLOCKED:
        plain = kind == "file"
        one = start(site=path("site" if plain else "scripted"))
        kib = measure_streams(one, "/big.bin" if plain else "/" + kind)
        failed += report("blocked h2 stream, " + kind, kib, BLOCKED_KIB, one)
    upstream.stop()
    return failed


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    write("site/index.html", SMALL)
    write("site/big.bin", bytes(1 << 20))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-keyout", path("key.pem"), "-out", path("cert.pem")],
                   check=True, stderr=subprocess.DEVNULL)
    failed = measure_blocked()
    for name, allowed in KIB.items():
        one = start("--tls-addr", "127.0.0.1:0", "--cert", path("cert.pem"), "--key", path("key.pem"))
        failed += report(name, measure(one, name), allowed, one)
    print("%d passed, %d failed" % (len(KIB) + len(BLOCKED) - failed, failed))
    sys.exit(failed != 0)
