# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: what goes through a proxy, and what does not."""

import hashlib
import os
import threading
import time

from h2.settings import SettingCodes

from peers import CLOSE, H1, H2, SECONDS, Cut, Upstream, answering
from harness import CLIENTS, Server, ask, case, check, eventually

# ---- what goes through ----


@case
def framings():
    """Answers framed in every way, whole and byte by byte."""
    content = b"0123456789" * 20
    answers = [
        ("length", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + content, 200, content),
        ("length 0", "GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
        ("chunks", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nC8\r\n" + content + b"\r\n0\r\n\r\n",
         200, content),
        ("no chunks", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, b""),
        ("chunks, extensions and trailers", "GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n"
         b"\r\n2;a=b\r\nab\r\n1\r\nc\r\n0;x\r\nX-T: 1\r\n\r\n", 200, b"abc"),
        ("until the end", "GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + content, 200, content),
        ("HTTP/1.0", "GET", b"HTTP/1.0 200 OK\r\n\r\n" + content, 200, content),
        ("nothing until the end", "GET", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 200, b""),
        ("204", "GET", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        ("304", "GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 200\r\nETag: \"a\"\r\n\r\n", 304, b""),
        ("HEAD with a length", "HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n", 200, b""),
        ("HEAD of chunks", "HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, b""),
        ("404", "GET", b"HTTP/1.1 404 Gone Fishing\r\nContent-Length: 3\r\n\r\nno\n", 404, b"no\n"),
        ("599", "GET", b"HTTP/1.1 599 Odd\r\nContent-Length: 3\r\n\r\nno\n", 599, b"no\n"),
    ]

    def serve(peer, _):
        request = peer.request()
        answer = answers[int(request.target[2:])][2]
        if request.target[1] == "w":
            peer.send(answer)
        else:
            for at in range(len(answer)):
                peer.send(answer[at : at + 1])
                time.sleep(0.0002)

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            for number, (name, method, _, status, body) in enumerate(answers):
                for way in "wb":
                    got = ask(client, upstream, method, "/%s%d" % (way, number))
                    check("%s: %s, %s" % (client.name, name, {"w": "whole", "b": "byte by byte"}[way]), got.brief(),
                          (status, body, "complete"))


@case
def shut_windows():
    """HTTP/2: the client lets nothing of the body through at first, then a little, then all."""
    content = bytes(range(256)) * 400
    framings = {
        "length": lambda body: b"Content-Length: %d\r\n\r\n%s" % (len(body), body),
        "chunk": lambda body: b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-T: 1\r\n\r\n" % (len(body), body),
        "end": lambda body: b"Connection: close\r\n\r\n" + body,
    }

    def serve(peer, _):
        request = peer.request()
        padding, framing, size = request.target[1:].split("/")
        peer.send(b"HTTP/1.1 200 OK\r\nX-Padding: %s\r\n" % (b"x" * int(padding)) +
                  framings[framing](content[: int(size)]))

    def opened(client, path):
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.start("GET", path, [("x-to", upstream.url)])
        while client.now.status == 0 and client.pump():
            pass
        for window in (100, len(content)):
            if client.now.end == "complete":
                break
            client.h2.increment_flow_control_window(window, client.id)
            client.flush()
            while len(client.now.body) < window and client.now.end != "complete" and client.pump():
                pass
        return client.response().brief()

    with Upstream(serve) as upstream:
        for framing in framings:
            for padding in (0, 200, 5000):
                for size in (1, 99, 100, 5000, len(content)):
                    client = H2(Server.main.port)
                    check("%s of %d octets behind a head of %d" % (framing, size, padding),
                          opened(client, "/%d/%s/%d" % (padding, framing, size)), (200, content[:size], "complete"))
                    client.close()


@case
def heads():
    """What each side learns of the other."""
    seen = []

    def answer(peer, request, body):
        seen.append((request, body))
        peer.send(b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\nX-One: 1\r\nX-One: 2\r\nConnection: keep-alive, x-gone\r\n"
                  b"X-Gone: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"
                  b"Proxy-Connection: close\r\nTrailer: a\r\nServer: up\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                  b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok")

    with Upstream(answering(answer)) as upstream:
        for client in CLIENTS:
            fields = [("X-Thing", "a"), ("X-Thing", "b"), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil"),
                      ("X-Forwarded-Proto", "gopher"), ("Forwarded", "for=6.6.6.6"), ("X_Under", "1"),
                      ("Proxy-Authorization", "Basic eDp5"), ("Cookie", "c=d")]
            if client is H1:
                fields += [("Connection", "x-hop, keep-alive"), ("X-Hop", "1"), ("Keep-Alive", "300"), ("TE", "gzip"),
                           ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA"), ("Proxy-Connection", "a")]
            got = ask(client, upstream.url + "/base", "POST", "/p%20a/../b?q=1&r", fields, b"hello")
            request, body = seen.pop()
            name = client.name
            check(name + ": request line", (request.method, request.target), ("POST", "/base/p%20a/../b?q=1&r"))
            check(name + ": body", body, b"hello")
            check(name + ": Host", request.all("host"), ["proxied.test"])
            check(name + ": X-Forwarded-*", [request.all("x-forwarded-" + k) for k in ("for", "proto", "host")],
                  [["127.0.0.1"], ["http"], ["proxied.test"]])
            check(name + ": Via", request.all("via"), [("1.1" if client is H1 else "2") + " zeroserve"])
            check(name + ": repeated fields", request.all("x-thing"), ["a", "b"])
            check(name + ": framing", request.all("content-length") + request.all("transfer-encoding"), ["5"])
            check(name + ": what ends at a connection does not get to the upstream",
                  [key for key, _ in request.fields if key in (
                      "connection", "x-hop", "keep-alive", "te", "upgrade", "http2-settings", "proxy-connection",
                      "proxy-authorization", "forwarded", "x_under")], [])
            check(name + ": nor to the client",
                  [key for key, value in got.fields if key in (
                      "x-gone", "keep-alive", "proxy-authenticate", "upgrade", "proxy-connection", "trailer")
                   or (key, value) == ("connection", "keep-alive, x-gone")], [])
            check(name + ": the answer", (got.status, got.body, got.all("x-one"), got.all("set-cookie"), got.get("server")),
                  (201, b"ok", ["1", "2"], ["a=1", "b=2"], "up"))
            check(name + ": Date is the upstream's", got.all("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"])


@case
def uploads():
    """Bodies of requests, of every size and framing, come back."""

    def serve(peer, request, body):
        framing = request.get("transfer-encoding", "length")
        peer.answer(hashlib.sha256(body).hexdigest().encode(), fields="x-framing: %s\r\n" % framing)

    with Upstream(answering(serve)) as upstream:
        for client in CLIENTS:
            for size in (0, 1, 4096, 65535, 65536, 65537, 300000, 3 << 20):
                body = os.urandom(size)
                for length in (None, -1):
                    peer = client(Server.main.port)
                    peer.start("POST", "/", [("x-to", upstream.url)], body=b"", length=-1 if length else size)
                    for at in range(0, size, 50000):
                        peer.data(body[at : at + 50000])
                    if length or client is H2:
                        peer.data(b"", True)
                    got = peer.response()
                    peer.close()
                    check("%s: %d octets %s" % (client.name, size, "of unknown length" if length else "with their length"),
                          (got.brief(), got.get("x-framing")),
                          ((200, hashlib.sha256(body).hexdigest().encode(), "complete"),
                           got.get("x-framing") if length and client is H2 else "chunked" if length else "length"))


@case
def interim():
    """1xx answers and Expect."""

    def serve(peer, _):
        request = peer.request()
        if request.target == "/hints":
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            peer.answer(b"hinted")
        elif request.target == "/slow-hints":
            peer.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
            go.wait(SECONDS)
            peer.answer(b"hinted")
        elif request.target == "/flood":
            peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17)
            peer.answer(b"hinted")
        elif request.target == "/refuse":
            peer.answer(request.get("expect", "none").encode(), "417 Expectation Failed", CLOSE)
        elif request.target == "/go":
            expected = request.get("expect", "none").encode()
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.answer(expected + peer.body(request), fields=CLOSE)
        else:
            peer.answer(peer.body(request), fields=CLOSE)

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            name = client.name
            got = ask(client, upstream, path="/hints")
            check(name + ": 103 and 102 pass", ([(s, dict(f).get("link")) for s, f in got.interim], got.brief()),
                  ([(103, "</a.css>"), (102, None)], (200, b"hinted", "complete")))
            go = threading.Event()
            peer = client(Server.main.port)
            peer.start(path="/slow-hints", fields=[("x-to", upstream.url)])
            if client is H2:
                eventually(lambda: peer.now.interim or not peer.pump())
                early = bool(peer.now.interim)
            else:
                early = peer.until(b"\r\n\r\n").startswith(b"HTTP/1.1 103")
            check(name + ": 103 comes before the answer is made", early, True)
            go.set()
            check(name + ": then the answer", peer.response().brief(), (200, b"hinted", "complete"))
            peer.close()
            check(name + ": too many 1xx", ask(client, upstream, path="/flood").status, 502)
            expect = [("x-to", upstream.url), ("expect", "100-continue")]
            for path, status, body in (("/go", 200, b"100-continuehello"), ("/silent", 200, b"hello"),
                                       ("/refuse", 417, b"100-continue")):
                peer = client(Server.main.port)
                peer.start("POST", path, expect, body=b"", length=5)
                if path != "/refuse":
                    if client is H2:
                        eventually(lambda: peer.now.interim or not peer.pump())
                        got_100 = [s for s, _ in peer.now.interim]
                    else:
                        got_100 = [int(peer.until(b"\r\n\r\n").split(b" ")[1])]
                    check("%s: 100 for %s" % (name, path), got_100, [100])
                    peer.data(b"hello", True)
                got = peer.response()
                peer.close()
                check("%s: Expect, %s" % (name, path), (got.brief(), [s for s, _ in got.interim] if client is H1 else []),
                      ((status, body, "complete"), []))


@case
def early_answers():
    """An answer before the request is complete is relayed at once, whatever becomes of the upload."""
    for close in (False, True, "reset"):

        def serve(peer, _):
            request = peer.request()
            peer.exactly(10)
            peer.answer(b"enough", "413 Content Too Large")
            if close == "reset":
                time.sleep(0.05)
                peer.reset()
            elif close:
                return
            else:
                peer.gone()

        with Upstream(serve) as upstream:
            for client in CLIENTS:
                for length in (1 << 30, -1):
                    peer = client(Server.main.port)
                    peer.start("POST", "/", [("x-to", upstream.url)], body=b"0123456789", length=length)
                    got = peer.response()
                    peer.close()
                    check("%s: answer to a part of %s, upstream %s" %
                          (client.name, "a length" if length > 0 else "chunks",
                           {False: "stays", True: "closes", "reset": "resets"}[close]),
                          got.brief(), (413, b"enough", "complete"))

    # An upstream that closes with octets unread resets the connection, maybe before its answer was read.
    def rude(peer, _):
        peer.request()
        peer.answer(b"enough", "413 Content Too Large")

    with Upstream(rude) as upstream:
        for client in CLIENTS:
            statuses = set()
            for _ in range(20):
                peer = client(Server.main.port)
                try:
                    peer.start("POST", "/", [("x-to", upstream.url)], body=b"x" * 200000, length=1 << 30)
                except OSError:
                    pass
                statuses.add(peer.response().brief())
                peer.close()
            check(client.name + ": answer and end while the body is on its way", statuses, {(413, b"enough", "complete")})


@case
def both_ways():
    """The answer streams while the request still does."""

    def serve(peer, _):
        request = peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(5):
            data = peer.exactly(3)
            peer.send(b"3\r\n" + data + b"\r\n")
        peer.send(b"0\r\n\r\n")

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            peer = client(Server.main.port)
            peer.start("POST", "/", [("x-to", upstream.url)], body=b"", length=15)
            echoed = b""
            for number in range(5):
                piece = b"<%d>" % number
                peer.data(piece, number == 4)
                if client is H2:
                    eventually(lambda: piece in peer.now.body or not peer.pump())
                    echoed = peer.now.body
                else:
                    if number == 0:
                        peer.until(b"\r\n\r\n")
                    echoed += peer.until(b"\r\n") and peer.until(b"\r\n")[:-2]
                if piece not in echoed:
                    break
            check(client.name + ": echo piece by piece", echoed, b"<0><1><2><3><4>")
            peer.close()


@case
def versions():
    """HTTP/1.0 clients, requests behind each other, many at once on one connection."""
    def serve(peer, request, body):
        if request.target == "/cut":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            cut.wait(SECONDS)
            raise Cut()
        if request.target == "/streamed":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            time.sleep(0.05)
            peer.send(b"0\r\n\r\n")
            return
        time.sleep(0.01 * int(request.get("x-wait", "0")))
        peer.answer(request.target.encode() * 1000, fields="x-via: %s\r\n" % request.get("via"))

    cut = threading.Event()
    with Upstream(answering(serve)) as upstream:
        ask_1_0 = "GET %s HTTP/1.0\r\nHost: a\r\nX-To: %s\r\n\r\n"
        for path, body in (("/a", b"/a" * 1000), ("/streamed", b"hello")):
            peer = H1(Server.main.port)
            peer.send((ask_1_0 % (path, upstream.url)).encode())
            head, _, got = peer.rest().partition(b"\r\n\r\n")
            peer.close()
            check("HTTP/1.0: " + path, (got, b"chunked" in head, b"1.1 200" in head), (body, False, True))
        peer = H1(Server.main.port)
        peer.send((ask_1_0 % ("/cut", upstream.url)).encode())
        peer.until(b"hello")
        cut.set()
        try:
            ended = peer.sock.recv(10)
        except ConnectionResetError:
            ended = "reset"
        check("HTTP/1.0: an answer cut off is no whole one", ended, "reset")
        peer.close()

        peer = H1(Server.main.port)
        one = "%s /%d HTTP/1.1\r\nHost: a\r\nX-To: %s\r\nX-Wait: %d\r\nContent-Length: 2\r\n\r\nhi"
        peer.send("".join(one % ("POST", n, upstream.url, 5 - n) for n in range(6)).encode() + b"GET /none HTTP/1.1\r\nHost: a"
                  b"\r\n\r\n")
        peer.method = "POST"
        got = [peer.response().body for _ in range(7)]
        peer.close()
        check("requests behind each other", (got[:6], got[6][:3]), ([b"/%d" % n * 1000 for n in range(6)], b"404"))

        peer = H2(Server.main.port)
        bodies = {}
        for number in range(60):
            stream = peer.h2.get_next_available_stream_id()
            bodies[stream] = [bytearray(), b"/%d" % number * 1000]
            peer.h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":authority", "a"),
                                          (":path", "/%d" % number), ("x-to", upstream.url),
                                          ("x-wait", str(number % 7))])
            peer.h2.send_data(stream, b"x" * (number * 16), end_stream=True)
        ended = set()

        def collect(event):
            if type(event).__name__ == "DataReceived":
                bodies[event.stream_id][0].extend(event.data)
                peer.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif type(event).__name__ in ("StreamEnded", "StreamReset"):
                ended.add(event.stream_id)

        peer.flush()
        while len(ended) < 60:
            data = peer.sock.recv(65536)
            if not data:
                break
            for event in peer.h2.receive_data(data):
                collect(event)
            peer.flush()
        peer.close()
        check("sixty at once", [bytes(got) == wanted for got, wanted in bodies.values()], [True] * 60)


# ---- what is refused ----


@case
def malformed():
    """Answers that two readers could take for different ones are a 502, and their connection is not used again."""
    good = b"Content-Length: 2\r\n\r\nok"
    bad = {
        "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + good,
        "two different lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + good,
        "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "+ before the length": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "hexadecimal length": b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
        "blank in the length": b"HTTP/1.1 200 OK\r\nContent-Length: 2 2\r\n\r\nok",
        "no digits": b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok",
        "a length of 2^63": b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok",
        "a length of 2^64+2": b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok",
        "length and chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "identity": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + good,
        "xchunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "chunked not last": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        "gzip, chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        "bare LF after a field": b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 2\r\n\r\nok",
        "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\n" + good,
        "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n" + good,
        "control character": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\n" + good,
        "blank before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\n" + good,
        "folded line": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n" + good,
        "field without a name": b"HTTP/1.1 200 OK\r\n: a\r\n" + good,
        "blank first": b"HTTP/1.1 200 OK\r\n X: a\r\n" + good,
        "no colon": b"HTTP/1.1 200 OK\r\nX\r\n" + good,
        "status of two digits": b"HTTP/1.1 20 OK\r\n" + good,
        "status 099": b"HTTP/1.1 099 OK\r\n" + good,
        "status of four digits": b"HTTP/1.1 2000 OK\r\n" + good,
        "HTTP/2.0": b"HTTP/2.0 200 OK\r\n" + good,
        "HTTP/0.9": b"<html>hello</html>",
        "empty line first": b"\r\nHTTP/1.1 200 OK\r\n" + good,
        "TLS": b"\x15\x03\x01\x00\x02\x02\x0a",
        "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 201 + good,
        "head too long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 66000 + b"\r\n" + good,
        "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "101 without Upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "nothing": b"",
        "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
        "bad chunk with the head": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "only 1xx": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    }
    bad["an empty coding"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n" + good
    bad["a status that ends"] = b"HTTP/1.1 200OK\r\n" + good
    bad["NUL in a name"] = b"HTTP/1.1 200 OK\r\nX\0Y: a\r\n" + good
    bad["chunked in 204"] = b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok"
    bad["1xx without end"] = b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 17 + b"HTTP/1.1 200 OK\r\n" + good
    names = list(bad)

    def serve(peer, _):
        while True:
            request = peer.request()
            if request is None:
                return
            answer = bad[names[int(request.target[2:])]]
            step = 1 if request.target[1] == "b" else len(answer) or 1
            for at in range(0, len(answer), step):
                peer.send(answer[at : at + step])
            if names[int(request.target[2:])] in ("nothing", "half a head", "only 1xx"):
                return

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            for number, name in enumerate(names):
                pieces = len(bad[name]) < 200 and "bad chunk" not in name  # whose head would pass
                for way in "wb" if pieces else "w":
                    before = upstream.count
                    got = ask(client, upstream, path="/%s%d" % (way, number), method="POST", body=b"")
                    check("%s: %s, %s" % (client.name, name, {"w": "whole", "b": "byte by byte"}[way]),
                          (got.status, got.end, upstream.count - before), (502, "complete", 1))


@case
def malformed_bodies():
    """What is wrong behind the head cuts the answer off, so that it cannot pass for a whole one."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    bad = {
        "no size": b"\r\n", "sign": b"+5\r\nhello\r\n", "0x": b"0x5\r\nhello\r\n", "blank": b" 5\r\nhello\r\n",
        "17 digits": b"00000000000000005\r\nhello\r\n", "bare LF": b"5\nhello\r\n", "no CRLF behind": b"5\r\nhelloXX",
        "too large": b"8000000000000000\r\n", "bad trailer": b"0\r\nX y\r\n\r\n", "closed": b"", "closed in a size": b"5",
        "closed in a chunk": b"5\r\nhel", "closed before the last line": b"0\r\n",
        "extension of 2 KiB": b"5;" + b"x" * 2000 + b"\r\nhello\r\n",
    }
    names = list(bad)

    def serve(peer, _):
        request = peer.request()
        peer.send(head)
        ready[request.target].wait(SECONDS)
        peer.send(bad[names[int(request.target[3:])]])

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            for number, name in enumerate(names):
                path = "/%s%d" % (client.name, number)
                ready = {path: threading.Event()}
                peer = client(Server.main.port)
                peer.start("GET", path, [("x-to", upstream.url)])
                if client is H1:
                    peer.until(b"hello\r\n")
                    ready[path].set()
                    end = b"0\r\n\r\n" in peer.rest()
                else:
                    eventually(lambda: peer.now.body == b"hello" or not peer.pump())
                    ready[path].set()
                    end = peer.response().end == "complete"
                peer.close()
                check("%s: %s" % (client.name, name), end, False)
