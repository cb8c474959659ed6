# SPDX-License-Identifier: Apache-2.0
"""A case of proxy.py: many clients and upstreams at once that do whatever they like, while the server is reloaded."""

import os
import random
import signal
import threading
import time

from harness import CLIENTS, WORK, Server, case, check, eventually
from peers import H1, Upstream

LASTS = float(os.environ.get("PROXY_CROWD", "2"))


def whim(peer, request):
    """Something that an upstream may do. True: the connection is still good."""
    act = random.randrange(12)
    if act == 0:
        return False
    if act == 1:
        peer.reset()
        return False
    if act == 2:
        peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n")
    elif act == 3:
        peer.answer(b"early" * random.randrange(1, 20000))
        return False
    elif act == 4:
        time.sleep(random.random() * 0.7)
    elif act == 5:
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    elif act == 6 and request.get("upgrade"):
        peer.send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" + bytes(random.randrange(99999)))
        if random.random() < 0.5:
            peer.half_close()
        peer.gone()
        return False
    peer.body(request)
    return True


def reply(peer):
    size = random.choice([0, 1, 100, 65536, 200000, 2000000])
    kind = random.randrange(5)
    if kind == 0:
        peer.answer(bytes(size))
    elif kind == 1:
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while size > 0:
            count = min(size, random.randrange(1, 70000))
            size -= count
            peer.send(b"%x\r\n%s\r\n" % (count, bytes(count)))
        peer.send(b"0\r\n\r\n")
    elif kind == 2:
        peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + bytes(size))
        return False
    elif kind == 3:
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (size + 1) + bytes(size))
        return False
    else:
        peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    return True


def serve(peer, _):
    request = peer.request()
    while request is not None and whim(peer, request) and reply(peer):
        request = peer.request()


def visit(port, urls, hangs):
    """One client, some requests; may leave at any time."""
    client = random.choice(CLIENTS)
    peer = client(port)
    for _ in range(random.randrange(1, 4)):
        method = random.choice(["GET", "HEAD", "POST", "PUT", "DELETE"])
        fields = [("x-to", random.choice(urls))]
        fields += [("x-hook", "1")] if random.random() < 0.2 else []
        fields += [("expect", "100-continue")] if random.random() < 0.2 else []
        if client is H1 and method == "GET" and random.random() < 0.3:
            fields += [("connection", "upgrade"), ("upgrade", "websocket")]
        body = bytes(random.choice([0, 1, 1000, 100000, 1000000])) if method in ("POST", "PUT") else None
        leaves = random.randrange(4) == 0
        if body and leaves:
            peer.start(method, "/", fields, body[: len(body) // 2], len(body))
        else:
            peer.start(method, "/", fields, body)
        if leaves:
            return random.choice([peer.leave, peer.reset, peer.close])()
        got = peer.response()
        if got.end == "hang":
            hangs.append((client.name, method, fields, got.status))
        if got.end != "complete" or not got.lasts or got.status == 101:
            break
    peer.close()


@case
def crowd():
    """Nothing hangs, nothing is left behind, and the server lives."""
    own = Server("--proxy-timeout", "1")
    path = os.path.join(WORK.name, "crowd.sock")
    hangs = []
    end = time.monotonic() + LASTS

    def come_and_go(urls):
        while time.monotonic() < end and own.process.poll() is None:
            try:
                visit(own.port, urls, hangs)
            except Exception:  # sockets and the library of HTTP/2 have many ways to say that something ended
                pass

    with Upstream(serve) as one, Upstream(serve) as two, Upstream(serve, path=path) as three:
        urls = [one.url, one.url + "," + two.url, "http://127.0.0.1:1," + one.url, three.url]
        before = own.descriptors()  # and a script of before a reload may be kept
        threads = [threading.Thread(target=come_and_go, args=(urls,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.3)
            if own.process.poll() is None:
                own.process.send_signal(signal.SIGHUP)
        check("nothing hangs", hangs, [])
        check("the server lives", own.process.poll(), None)
    check("all is closed", eventually(lambda: own.descriptors() <= before + 2), True)
    check("it ends well", own.stop(), 0)
    check("and had nothing to complain of", [line for line in own.text().split("\n") if "ERROR" in line or "rror:" in line], [])
