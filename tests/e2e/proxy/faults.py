# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: upstreams that end, stall and come back at every stage, and clients that leave."""

import os
import random
import signal
import socket
import threading
import time

from harness import CLIENTS, WORK, Server, ask, case, check, eventually
from peers import H1, H2, SECONDS, Upstream, answering


def unused_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def hello(peer, request, body):
    peer.answer(b"hello")


@case
def kills():
    """The upstream ends, politely or by a reset, at every stage: an error, or an answer cut off, and never a hang."""
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    stages = [  # what was said, whether the request is read first, status, how the answer ends
        ("before it reads", None, 502, ("complete",)),
        ("after it read the request", b"", 502, ("complete",)),
        ("within the status line", b"HTTP/1.", 502, ("complete",)),
        ("within the head", b"HTTP/1.1 200 OK\r\nContent-", 502, ("complete",)),
        ("after the head", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 200, ("cut", "reset 2")),
        ("within a body with a length", half, 200, ("cut", "reset 2")),
        ("between chunks", chunk, 200, ("cut", "reset 2")),
        ("within a chunk", chunk + b"5\r\nhe", 200, ("cut", "reset 2")),
        ("before the last line", chunk + b"0\r\n", 200, ("cut", "reset 2")),
    ]
    for end in ("close", "reset"):
        steps = {}

        def serve(peer, _):
            if not steps:
                return getattr(peer, end)()
            request = peer.request()
            said = stages[int(request.target[1:])][1]
            peer.body(request)
            if said is not None:
                peer.send(said)
                if said:  # what was said shall be looked at before the end
                    steps["said"].set()
                    steps["end"].wait(SECONDS)
            getattr(peer, end)()

        with Upstream(serve) as upstream:
            for client in CLIENTS:
                for number, (name, said, status, ends) in enumerate(stages):
                    steps = {} if said is None else {"said": threading.Event(), "end": threading.Event()}
                    for method in ("GET", "POST"):
                        for event in steps.values():
                            event.clear()
                        peer = client(Server.main.port)
                        peer.start(method, "/%d" % number, [("x-to", upstream.url)], b"body" if method == "POST" else None)
                        if said:
                            steps["said"].wait(SECONDS)
                            if status == 200:
                                saw(peer, client)
                            steps["end"].set()
                        if status == 200 and client is H1:
                            peer.rest()
                            got = (200, "cut")  # `saw` has the head; the rest did not come
                        else:
                            response = peer.response()
                            if said and status == 502 and response.end == "hang":
                                response.end = "hang"
                            got = (response.status, response.end)
                        peer.close()
                        check("%s: %s, %s %s" % (client.name, method, end, name), got[0] == status and got[1] in ends,
                              True)
                        # A retried GET says the same again, and finds both events set.
            check("all is well afterwards", ask(H1, Good.url()).brief(), (200, b"hello", "complete"))
    for client in CLIENTS:
        got = ask(client, "http://127.0.0.1:%d" % unused_port())
        check(client.name + ": nobody listens", got.status, 502)


@case
def kills_of_uploads():
    """The upstream ends within the request, on a new connection and on a kept one, without having answered."""
    for end in ("close", "reset"):
        for length in (1 << 20, -1):

            def serve(peer, _):
                request = peer.request()
                while request is not None and request.target == "/first":
                    peer.answer(b"hello")
                    request = peer.request()
                if request is not None:
                    seen.append(request.target)
                    if length < 0:
                        peer.until(b"\r\n")  # a chunk's size
                    peer.exactly(10)
                    getattr(peer, end)()

            for client in CLIENTS:
                for kept in (False, True):
                    for method in ("PUT", "POST"):
                        seen = []
                        with Upstream(serve) as upstream:
                            if kept:
                                ask(client, upstream, path="/first")
                            peer = client(Server.main.port)
                            peer.start(method, "/up", [("x-to", upstream.url)], b"0123456789", length)
                            got = peer.response()
                            peer.close()
                        again = kept and method == "PUT"
                        check("%s: %s, %s within %s on a %s connection" %
                              (client.name, method, end, "chunks" if length < 0 else "a body", "kept" if kept else "new"),
                              (got.status, got.end, len(seen)), (502, "complete", 2 if again else 1))


class Good:
    """An upstream without faults, made once."""

    upstream = None

    @classmethod
    def url(cls):
        if cls.upstream is None:
            cls.upstream = Upstream(answering(hello))
        return cls.upstream.url


def saw(peer, client):
    """Waits until the client has the head of the answer."""
    if client is H2:
        return eventually(lambda: peer.now.status != 0 or not peer.pump())
    return peer.until(b"\r\n\r\n")


@case
def pool():
    """Connections are kept, and those that died meanwhile do no harm."""
    with Upstream(answering(hello)) as upstream:
        for client in CLIENTS:
            before = upstream.count
            peer = client(Server.main.port)
            for _ in range(10):
                peer.start(fields=[("x-to", upstream.url)])
                got = peer.response()
            peer.close()
            check(client.name + ": ten requests, one connection", (got.brief(), upstream.count - before <= 1),
                  ((200, b"hello", "complete"), True))

    for name, answer in (("Connection: close", b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
                         ("HTTP/1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
                         ("octets behind the answer", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n"
                          b"Content-Length: 4\r\n\r\nevil"),
                         ("a body where none may be", b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil")):
        with Upstream(answering(answer)) as upstream:
            for client in CLIENTS:
                before = upstream.count
                bodies = {ask(client, upstream).body for _ in range(3)}
                check("%s: %s is not used again" % (client.name, name), (b"evil" in bodies, upstream.count - before), (False, 3))

    # The second request finds the connection closed just when it comes.
    for method, body, tries, status in (("GET", None, 2, 200), ("HEAD", None, 2, 200), ("DELETE", None, 2, 200),
                                        ("PUT", b"abc", 2, 200), ("POST", None, 1, 502), ("POST", b"abc", 1, 502)):
        for end in ("close", "reset"):
            seen = []

            def serve(peer, _):
                for number in range(10):
                    request = peer.request()
                    if request is None:
                        return
                    peer.body(request)
                    seen.append(request.target)
                    if number == 1:
                        return getattr(peer, end)()
                    peer.answer(b"" if request.method == "HEAD" else b"hello")

            for client in CLIENTS:
                del seen[:]
                with Upstream(serve) as upstream:
                    ask(client, upstream, path="/first")
                    got = ask(client, upstream, method, "/second", body=body)
                    check("%s: stale connection (%s), %s%s" % (client.name, end, method, " with a body" if body else ""),
                          (got.status, seen.count("/second")), (status, tries))

    # It closes while the next request is on its way, in the kernel: the server is not told one before the other.
    for client in CLIENTS:
        for method, body in (("GET", None), ("POST", b"abc"), ("POST", b"x" * 100000)):
            seen = []

            def gone(peer, number):
                while True:
                    request = peer.request()
                    if request is None:
                        return
                    peer.body(request)
                    seen.append(request.target)
                    peer.answer(b"hello")
                    if number == 0:
                        closing.wait(SECONDS)
                        peer.close()
                        closed.set()
                        return

            with Upstream(gone) as upstream:
                closing, closed = threading.Event(), threading.Event()
                ask(client, upstream, path="/first")
                peer = client(Server.main.port)
                if client is H2:
                    peer.pump()
                Server.main.pause()
                try:
                    if method == "GET":
                        closing.set(), closed.wait(SECONDS)
                    peer.start(method, "/second", [("x-to", upstream.url)], body and b"", body and len(body))
                    closing.set(), closed.wait(SECONDS)
                finally:
                    os.kill(Server.main.process.pid, signal.SIGCONT)
                if body:
                    peer.data(body, True)
                check("%s: %s of %d octets, closed meanwhile" % (client.name, method, len(body or b"")),
                      (peer.response().brief(), seen), ((200, b"hello", "complete"), ["/first", "/second"]))
                peer.close()

    # The same at any moment: no request that is not idempotent is made twice.
    def restless(peer, _):
        request = peer.request()
        peer.body(request)
        seen.append(request.target)
        peer.answer(b"hello")
        time.sleep(random.random() / 2000)
        peer.close()

    for client in CLIENTS:
        seen, statuses = [], []
        with Upstream(restless) as upstream:
            for number in range(300):
                statuses.append(ask(client, upstream, "POST", "/%d" % number, body=b"abc").status)
        check(client.name + ": none is made twice", (len(seen) - len(set(seen)), set(statuses) <= {200, 502}), (0, True))

    def refuse(peer, _):
        peer.request()
        tries.append(1)

    for client in CLIENTS:
        tries = []
        with Upstream(refuse) as upstream:
            check(client.name + ": a request is repeated once", (ask(client, upstream).status, len(tries)), (502, 2))

    # Killed while nobody uses it; the next request does not notice, once the news is here.
    for end in ("close", "reset"):
        killed = threading.Event()

        def mortal(peer, number):
            peer.body(peer.request())
            peer.answer(b"hello")
            if number % 2 == 0:
                kill.wait(SECONDS)
                getattr(peer, end)()
                killed.set()
            else:
                peer.gone()

        for client in CLIENTS:
            for method, body in (("GET", None), ("POST", b"abc")):
                with Upstream(mortal) as upstream:
                    kill = threading.Event()
                    killed.clear()
                    ask(client, upstream)
                    kill.set()
                    killed.wait(SECONDS)
                    ask(H1, Good.url())  # a turn of the loop or two
                    ask(H1, Good.url())
                    check("%s: %s after an idle connection's %s" % (client.name, method, end),
                          ask(client, upstream, method, body=body).brief(), (200, b"hello", "complete"))


@case
def silence():
    """Upstreams that say nothing: each pause has its time."""
    slow = Server("--proxy-timeout", "3")
    over = threading.Event()

    def serve(peer, _):
        request = peer.request()
        if request.target == "/unread":
            over.wait(SECONDS)
            return
        if request.target == "/head":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif request.target == "/body":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        elif request.target == "/drip":
            peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 20\r\n\r\n")
            for _ in range(20):
                time.sleep(0.1)
                peer.send(b".")
        elif request.target == "/drip-head":
            for letter in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100:
                time.sleep(0.1)
                peer.send(bytes([letter]))
        peer.gone()

    blocked = socket.socket()
    blocked.bind(("127.0.0.1", 0))
    blocked.listen(0)
    fill = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(blocked.getsockname())
        fill.append(sock)
    with Upstream(serve) as upstream:
        waits = [("no answer", upstream.url, "/none", 504, ("complete",)),
                 ("half a head", upstream.url, "/head", 504, ("complete",)),
                 ("a head that drips", upstream.url, "/drip-head", 504, ("complete",)),
                 ("half a body", upstream.url, "/body", 200, ("cut", "reset 2")),
                 ("a body that drips", upstream.url, "/drip", 200, ("complete",)),
                 ("no connection", "http://127.0.0.1:%d" % blocked.getsockname()[1], "/connect", 504, ("complete",))]
        results = {}

        def wait(client, name, url, path):
            begin = time.monotonic()
            got = ask(client, url, path=path, port=slow.port)
            results[client.name, name] = got, time.monotonic() - begin

        threads = [threading.Thread(target=wait, args=(client, name, url, path)) for client in CLIENTS
                   for name, url, path, _, _ in waits]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client in CLIENTS:
            for name, _, _, status, ends in waits:
                got, seconds = results.get((client.name, name), (None, 0))
                check("%s: %s" % (client.name, name), got is not None and got.status == status and got.end in ends, True)
                check("%s: %s, not at once" % (client.name, name), seconds > 0.4, True)
        # An upload that the upstream does not read ends, too.
        for client in CLIENTS:
            peer = client(slow.port)
            data = b"x" * (1 << 20)
            peer.start("POST", "/unread", [("x-to", upstream.url)], b"", 1 << 30)
            peer.sock.settimeout(SECONDS)

            def push():
                try:
                    while True:
                        peer.data(data) if client is H1 else peer.data(data[:16384])
                except Exception:  # of the socket or of the library, whichever sees the end first
                    pass

            thread = threading.Thread(target=push, daemon=True)
            thread.start()
            thread.join(SECONDS)
            check(client.name + ": an upstream that reads nothing of an upload", thread.is_alive(), False)
            if client is H2:
                check("h2: is told", peer.response().status, 504)
            peer.close()
        over.set()
    for sock in fill + [blocked]:
        sock.close()
    check("the server with short times ends well", slow.stop(), 0)


@case
def leaving():
    """A client that leaves takes its request with it."""
    for stage in ("before the answer", "within the answer", "within the request"):
        ends = []
        begun = threading.Event()

        def serve(peer, _):
            request = peer.request()
            if stage == "within the answer":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\nhello")
            elif stage == "within the request":
                peer.exactly(5)
            begun.set()
            ends.append(peer.gone() and request is not None)

        with Upstream(serve) as upstream:
            for client in CLIENTS:
                for how in ("leave", "close", "reset"):
                    begun.clear()
                    count = len(ends)
                    peer = client(Server.main.port)
                    body = b"hello" if stage == "within the request" else None
                    peer.start("POST" if body else "GET", "/", [("x-to", upstream.url)], body, body and 100)
                    begun.wait(SECONDS)
                    if stage == "within the answer":
                        saw(peer, client)
                    getattr(peer, how)()
                    check("%s: %s %s" % (client.name, how, stage), eventually(lambda: len(ends) > count) and ends[-1], True)
                    if how == "leave":
                        peer.close()


@case
def half_closed():
    """A client that ends its half gets files all the same; of upstreams it has left (docs/ARCHITECTURE.md)."""
    for method, status in (("GET", 404), ("POST", 405)):
        peer = H1(Server.main.port)
        peer.start(method, "/no", body=b"abc" if method == "POST" else None)
        peer.half_close()
        check("h1: half closed, %s without an upstream" % method, peer.response().status, status)
        peer.close()
    gone = threading.Event()

    def serve(peer, _):
        peer.request()
        if peer.gone():
            gone.set()

    with Upstream(serve) as upstream:
        peer = H1(Server.main.port)
        peer.start(fields=[("x-to", upstream.url)])
        peer.half_close()
        check("h1: half closed, the upstream is told", gone.wait(SECONDS), True)
        check("h1: and the connection ends", peer.rest(), b"")
        peer.close()


@case
def targets():
    """Several upstreams: turns, health, stickiness; names and sockets."""
    def named(name):
        return Upstream(answering(lambda peer, request, body: peer.answer(name)))

    path = os.path.join(WORK.name, "up.sock")
    dead = "http://127.0.0.1:%d" % unused_port()
    with named(b"a") as a, named(b"b") as b, Upstream(answering(hello), path=path) as unix:
        both = a.url + ", " + b.url
        for client in CLIENTS:
            name = client.name
            check(name + ": both have their turn", {ask(client, both).body for _ in range(20)}, {b"a", b"b"})
            check(name + ": one is dead", {ask(client, dead + "," + a.url).brief() for _ in range(20)},
                  {(200, b"a", "complete")})
            check(name + ": one is dead, with a body", {ask(client, dead + "," + a.url, "POST", body=b"x").brief()
                                                       for _ in range(5)}, {(200, b"a", "complete")})
            check(name + ": all are dead", ask(client, dead + ",http://127.0.0.1:1").status, 502)
            # Which one is by chance, as the ports are: all are one in 2^31 times.
            sticky = [{ask(client, both, fields=[("x-key", "user %d" % user)]).body for _ in range(2)} for user in range(32)]
            check(name + ": the same key, the same upstream", [len(bodies) for bodies in sticky], [1] * 32)
            check(name + ": other keys, other upstreams", len(set.union(*sticky)), 2)
            check(name + ": a socket in the file system", [ask(client, unix).brief() for _ in range(2)],
                  [(200, b"hello", "complete")] * 2)
            check(name + ": Host for a socket", ask(client, unix, "POST", body=b"x").status, 200)
            check(name + ": no such socket", ask(client, "unix/" + path + "x").status, 502)
            check(name + ": a name", ask(client, "http://localhost:%d" % a.port).brief(), (200, b"a", "complete"))
            check(name + ": no such name", ask(client, "http://name.invalid").status in (502, 504), True)
    os.unlink(path)


@case
def hooks():
    """Scripts that look at an answer for more than a turn, while its body and the request's go on."""
    def serve(peer, request, body):
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(20):
            peer.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            time.sleep(0.001)
        peer.send(b"0\r\n\r\n")

    def early(peer, _):
        request = peer.request()
        peer.answer(b"early")
        peer.body(request)
        peer.gone()

    with Upstream(answering(serve)) as upstream, Upstream(early) as other:
        for client in CLIENTS:
            for body in (None, b"b" * 100000):
                got = ask(client, upstream, "POST" if body else "GET", fields=[("x-hook", "1")], body=body)
                check("%s: looked at%s" % (client.name, ", with a body" if body else ""),
                      (got.status, len(got.body), got.end, got.get("x-looked")), (200, 81920, "complete", "yes"))
            peer = client(Server.main.port)
            peer.start("POST", "/", [("x-to", other.url), ("x-hook", "1")], b"abc", 1 << 20)
            got = peer.response()
            peer.close()
            check(client.name + ": looked at while the upload goes on", (got.brief(), got.get("x-looked")),
                  ((200, b"early", "complete"), "yes"))


def switching(peer, _):
    """Says 101 and echoes; the target says what is special."""
    request = peer.request()
    wanted = "upgrade: %s\r\nconnection: Upgrade\r\n" % request.get("upgrade", "none")
    seen_upgrades.append((request.get("upgrade"), request.get("connection")))
    if request.target == "/refuse":
        peer.answer(b"no", "426 Upgrade Required")
        return
    if request.target == "/other":
        wanted = "upgrade: other\r\nconnection: upgrade\r\n"
    early = b"early" if request.target == "/early" else b""
    peer.send(("HTTP/1.1 101 Switching Protocols\r\n%sx-key: 1\r\n\r\n" % wanted).encode() + early)
    if request.target == "/end":
        peer.half_close()
        tunnel_ends.append(peer.rest())
        return
    if request.target == "/reset":
        peer.exactly(4)
        peer.reset()
        return
    if request.target == "/bye":
        peer.exactly(4)
        peer.send(b"bye")
        return
    while True:
        data, peer.pending = peer.pending, b""
        if data:
            peer.send(data)
        if not peer.more():
            if request.target == "/last":
                peer.send(b"last words")
            tunnel_ends.append(b"end")
            return


seen_upgrades = []
tunnel_ends = []


@case
def tunnels():
    """Changes of protocol: octets both ways until both ends are done."""
    with Upstream(switching) as upstream:
        def open_tunnel(path="/", extra=b"", before=b""):
            peer = H1(Server.main.port)
            peer.send(before + b"GET %s HTTP/1.1\r\nHost: a\r\nX-To: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
                      % (path.encode(), upstream.url.encode()) + extra)
            return peer

        peer = open_tunnel()
        head = peer.until(b"\r\n\r\n")
        check("101 passes", (head[:12], b"\r\nupgrade: websocket\r\n" in head.lower(), b"x-key: 1" in head),
              (b"HTTP/1.1 101", True, True))
        check("the upstream was asked", seen_upgrades[-1][0], "websocket")
        for data in (b"a", b"\0\xff" * 500, os.urandom(300000)):
            threading.Thread(target=peer.send, args=(data,), daemon=True).start()
            check("%d octets come back" % len(data), peer.exactly(len(data)) == data, True)
        peer.half_close()
        check("the upstream sees the client's end", (peer.rest(), eventually(lambda: b"end" in tunnel_ends)), (b"", True))
        peer.close()

        peer = open_tunnel("/early", b"client")
        peer.until(b"\r\n\r\n")
        check("octets right behind the heads", sorted([peer.exactly(5), peer.exactly(6)]), [b"client", b"early"])
        peer.close()
        peer = open_tunnel("/", b"abc", b"GET / HTTP/1.1\r\nHost: a\r\nX-To: %s\r\n\r\n" % upstream_chunks.url.encode())
        check("behind another request, in one piece", (peer.until(b"0\r\n\r\n")[:15], peer.until(b"\r\n\r\n")[:12],
                                                      peer.exactly(3)), (b"HTTP/1.1 200 OK", b"HTTP/1.1 101", b"abc"))
        peer.close()
        peer = open_tunnel("/last")
        peer.until(b"\r\n\r\n")
        peer.half_close()
        check("the upstream's last words", peer.rest(), b"last words")
        peer.close()
        peer = open_tunnel("/end")
        peer.until(b"\r\n\r\n")
        check("the client sees the upstream's end", peer.rest(), b"")
        peer.send(b"still here")
        peer.half_close()
        check("and may still speak", eventually(lambda: b"still here" in tunnel_ends), True)
        peer.close()
        peer = open_tunnel("/reset", b"1234")
        peer.until(b"\r\n\r\n")
        check("a reset ends it", peer.gone(), True)
        peer.close()
        peer = open_tunnel("/bye", b"1234" + b"x" * 100000)
        peer.until(b"\r\n\r\n")
        check("what came before a reset may come", peer.rest() in (b"bye", b""), True)
        peer.close()
        count = len(tunnel_ends)
        peer = open_tunnel()
        peer.until(b"\r\n\r\n")
        peer.reset()
        check("a client's reset reaches the upstream", eventually(lambda: len(tunnel_ends) > count), True)
        peer = open_tunnel("/refuse")
        peer.method = "GET"
        check("refused", peer.response().status, 426)
        peer.close()
        peer = open_tunnel("/other")
        peer.method = "GET"
        check("another protocol than was asked for", peer.response().status, 502)
        peer.close()
        for protocol in ("h2c", "TLS/1.0", "websocket, h2c", "HTTP/1.1"):
            got = ask(H1, upstream, "GET", "/refuse", [("Connection", "upgrade"), ("Upgrade", protocol)])
            check("%s does not pass" % protocol, (got.status, seen_upgrades[-1]), (426, (None, None)))
        got = ask(H1, upstream, "GET", "/refuse", [("Upgrade", "websocket")])
        check("nor what Connection does not name", (got.status, seen_upgrades[-1]), (426, (None, None)))


def chunked_answer(peer, request, body):
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    time.sleep(0.1)
    peer.send(b"0\r\n\r\n")


upstream_chunks = Upstream(answering(chunked_answer))


@case
def ending():
    """Reload and the end of the server, with requests and kept connections in hand."""
    own = Server("--drain-timeout", "10")
    begun = threading.Event()
    go = threading.Event()

    def serve(peer, _):
        while True:
            request = peer.request()
            if request is None:
                return
            if request.target == "/wait":
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                begun.set()
                go.wait(SECONDS)
                peer.send(b"world")
            else:
                peer.answer(b"hello")

    with Upstream(serve) as upstream:
        for what in ("reload", "end"):
            for client in CLIENTS:
                for _ in range(3):
                    ask(client, upstream, port=own.port)
            begun.clear()
            go.clear()
            # python3-h2 takes GOAWAY for the end of everything.
            peers = [client(own.port) for client in (CLIENTS if what == "reload" else (H1, H1))]
            for peer in peers:
                begun.clear()
                peer.start(path="/wait", fields=[("x-to", upstream.url)])
                begun.wait(SECONDS)
            own.process.send_signal(signal.SIGHUP if what == "reload" else signal.SIGTERM)
            eventually(lambda: ("reloaded" if what == "reload" else "finishing running") in own.text())
            if what == "reload":
                check("after a reload", ask(H1, upstream, port=own.port).brief(), (200, b"hello", "complete"))
            go.set()
            for peer in peers:
                check("%s: begun before the %s" % (peer.name, what), peer.response().brief(),
                      (200, b"helloworld", "complete"))
                peer.close()
        try:
            status = own.process.wait(SECONDS)
        except Exception:
            status = own.stop()
        check("it ends when they are answered", status, 0)
