# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: trailers, both ways."""

from harness import CLIENTS, Server, ask, case, check
from peers import H1, H2, Upstream

FORBIDDEN = [("content-length", "1"), ("transfer-encoding", "chunked"), ("host", "evil"), ("authorization", "evil"),
             ("cookie", "evil"), ("x-forwarded-for", "6.6.6.6"), ("connection", "close"), ("trailer", "x"), ("x_under", "1")]


def lines(fields):
    return b"".join(b"%s: %s\r\n" % (name.encode(), value.encode()) for name, value in fields)


class Echo:
    """An upstream that notes the trailers of requests and answers with what it is told to."""

    def __init__(self):
        self.seen = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.upstream = Upstream(self.serve)

    def serve(self, peer, _):
        while True:
            request = peer.request()
            if request is None:
                return
            trailers = None
            if request.get("transfer-encoding") == "chunked":
                request.content, trailers = peer.chunks()
                trailers = peer.fields(trailers)
            else:
                request.content = peer.body(request)
            self.seen.append((request, trailers))
            peer.send(self.answer)


def send_h1(upstream, fields, body, trailers, script=()):
    peer = H1(Server.main.port)
    head = [("x-to", upstream.url), ("transfer-encoding", "chunked"), *fields, *script]
    peer.method = "POST"
    peer.send(b"POST / HTTP/1.1\r\nhost: a\r\n%s\r\n" % lines(head))
    if body:
        peer.send(b"%x\r\n%s\r\n" % (len(body), body))
    peer.send(b"0\r\n%s\r\n" % lines(trailers))
    got = peer.response()
    peer.close()
    return got


def send_h2(upstream, fields, body, trailers, script=(), length=None):
    peer = H2(Server.main.port)
    peer.h2.config.validate_outbound_headers = False
    peer.h2.config.normalize_outbound_headers = False
    peer.start("POST", "/", [("x-to", upstream.url), *fields, *script], b"", -1 if length is None else length)
    if body:
        peer.data(body)
    peer.h2.send_headers(peer.id, trailers, end_stream=True)
    peer.flush()
    got = peer.response()
    peer.close()
    return got


@case
def request_trailers():
    """Of requests: those that may be trailers get to the upstream, and nothing else."""
    echo = Echo()
    with echo.upstream as upstream:
        for name, send in (("h1", send_h1), ("h2", send_h2)):
            forbidden = [field for field in FORBIDDEN if name == "h1" or field[0] not in ("connection", "transfer-encoding")]
            for body in (b"hello", b""):
                got = send(upstream, [("trailer", "x-sum, x-more")], body, [("x-sum", "1"), ("x-more", "2, 3")])
                request, trailers = echo.seen.pop()
                check("%s: trailers behind %d octets" % (name, len(body)),
                      (got.brief(), request.content, trailers, request.all("trailer")),
                      ((200, b"ok", "complete"), body, [("x-sum", "1"), ("x-more", "2, 3")], ["x-sum, x-more"]))
            send(upstream, [("trailer", "x-sum, content-length")], b"a", [("x-sum", "1")] + forbidden)
            request, trailers = echo.seen.pop()
            check(name + ": none that would change the message", (trailers, request.all("trailer")), ([("x-sum", "1")], []))
            send(upstream, [], b"a", [("x-sum", "1"), ("x-user", "root"), ("x-role-a", "b")], [("x-guard", "yes")])
            request, trailers = echo.seen.pop()
            check(name + ": nor what a script has set or deleted", (request.all("x-user"), trailers),
                  (["nobody"], [("x-sum", "1")]))
            if name == "h1":
                send(upstream, [("connection", "x-hop, b c")], b"a", [("x-sum", "1"), ("X-Hop", "b")])
                check("h1: nor what Connection names", echo.seen.pop()[1], [("x-sum", "1")])
            echo.seen.clear()
            got = send(upstream, [], b"a", [("x-big", "y" * 8300)])
            check(name + ": a section that is too long", (got.status in (413, 0), [t for _, t in echo.seen]), (True, []))
        send_h2(upstream, [("trailer", "x-sum")], b"hello", [("x-sum", "1")], length=5)
        request, trailers = echo.seen.pop()
        check("h2: behind a body with a length, announced", (request.content, trailers), (b"hello", [("x-sum", "1")]))
        # What follows on the connection is a request of its own, whatever the trailers look like.
        peer = H1(Server.main.port)
        peer.method = "POST"
        to = b"x-to: %s\r\n" % upstream.url.encode()
        peer.send(b"POST /one HTTP/1.1\r\nhost: a\r\n" + to + b"transfer-encoding: chunked\r\n\r\n0\r\nx: POST /evil HTTP/1.1\r\n"
                  b"content-length: 100\r\n\r\nPOST /two HTTP/1.1\r\nhost: a\r\n" + to + b"content-length: 0\r\n\r\n")
        check("h1: two requests", [peer.response().status for _ in range(2)], [200, 200])
        check("reach the upstream as two", ([request.target for request, _ in echo.seen], echo.seen[0][1]),
              (["/one", "/two"], [("x", "POST /evil HTTP/1.1")]))
        peer.close()
        echo.seen.clear()
        for bad in (b"x y: 1\r\n", b"x : 1\r\n", b": 1\r\n", b" x: 1\r\n", b"x: 1\n", b"x: a\0b\r\n", b"x: a\rb\r\n", b"x\r\n"):
            peer = H1(Server.main.port)
            peer.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + to + b"transfer-encoding: chunked\r\n\r\n0\r\n" + bad +
                      b"\r\nGET /next HTTP/1.1\r\nhost: a\r\n" + to + b"\r\n")
            got = peer.rest()
            peer.close()
            check("h1: trailer %r" % bad, (got[9:12], got.count(b"HTTP/1.1 "), echo.seen), (b"400", 1, []))


@case
def response_trailers():
    """Of answers: to clients that take them."""
    echo = Echo()
    announce = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: x-hop, b c\r\n\r\n"
    section = b"X-Sum: 1\r\nx-hop: 2\r\n" + lines(FORBIDDEN[:-1]) + b"\r\n"
    with echo.upstream as upstream:
        for client in CLIENTS:
            for te in (True, False):
                for body in (b"hello", b""):
                    chunk = b"5\r\nhello\r\n" if body else b""
                    echo.answer = announce + chunk + b"0\r\n" + section
                    got = ask(client, upstream, fields=[("te", "trailers")] if te else [])
                    request, _ = echo.seen.pop()
                    passes = te or client is H2
                    check("%s: %d octets and trailers, %s" % (client.name, len(body), "TE" if te else "no TE"),
                          (got.brief(), got.trailers, got.all("trailer"), got.all("content-length")),
                          ((200, body, "complete"), [("x-sum", "1")] if passes else [], ["X-Sum"] if passes else [],
                           [] if passes else got.all("content-length")))
                    check("%s: the upstream is %s" % (client.name, "asked for them" if te else "not asked for any"),
                          (request.all("te"), request.all("connection")), (["trailers"], ["te"]) if te else ([], []))
            echo.answer = announce + b"0\r\n" + section
            got = ask(client, upstream, "HEAD", fields=[("te", "trailers")])
            check(client.name + ": none after HEAD", (got.brief(), got.trailers), ((200, b"", "complete"), []))
            for bad in (b"x y: 1\r\n\r\n", b"x: 1\n\r\n", b"x: a\0b\r\n\r\n", b"x: " + b"y" * 8300 + b"\r\n\r\n",
                        b"x:\r\n" * 300 + b"\r\n"):
                echo.answer = announce + b"5\r\nhello\r\n0\r\n" + bad
                got = ask(client, upstream, fields=[("te", "trailers")])
                check("%s: trailer %.10r" % (client.name, bad), got.status == 502 or got.end in ("cut", "reset 2"), True)
