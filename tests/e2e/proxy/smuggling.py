# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: requests that two readers could take for different ones. None reaches an upstream, nor does what
follows it on the connection."""

import re

from h2.exceptions import ProtocolError

from harness import Server, case, check, eventually
from peers import H1, H2, Cut, Upstream, answering

# What stands for the fields and the body of a POST whose first fields are Host and X-To; the status of the answer.
BAD_FIELDS = {
    "two lengths": (b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "two different lengths": (b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    "+3": (b"Content-Length: +3\r\n\r\nabc", 400),
    "-3": (b"Content-Length: -3\r\n\r\nabc", 400),
    "0x3": (b"Content-Length: 0x3\r\n\r\nabc", 400),
    "a blank in the length": (b"Content-Length: 0 3\r\n\r\nabc", 400),
    "an empty length": (b"Content-Length:\r\n\r\nabc", 400),
    "a list of lengths": (b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "a length of 2^63": (b"Content-Length: 9223372036854775808\r\n\r\nabc", 400),
    "a length of 2^64+3": (b"Content-Length: 18446744073709551619\r\n\r\nabc", 400),
    "length and chunks": (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks and length": (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    "two codings": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501),
    "identity": (b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", 400),
    "xchunked": (b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunked not last": (b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "an empty coding": (b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "a quoted coding": (b"Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    "vertical tab before chunked": (b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "a blank before the colon": (b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "a folded line": (b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bare LF": (b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bare LF at the end": (b"Content-Length: 3\n\nabc", 400),
    "bare CR": (b"X: a\rTransfer-Encoding: chunked\r\n\r\n", 400),
    "NUL": (b"X: a\0b\r\n\r\n", 400),
    "a control character": (b"X: a\x01b\r\n\r\n", 400),
    "no name": (b": a\r\n\r\n", 400),
    "no colon": (b"Transfer-Encoding\r\n\r\n", 400),
    "NUL in a name": (b"Transfer\0Encoding: chunked\r\n\r\n", 400),
    "two hosts": (b"Host: evil\r\n\r\n", 400),
    "another expectation": (b"Expect: 200-maybe\r\nContent-Length: 3\r\n\r\nabc", 417),
    "a field that is too long": (b"X: " + b"y" * 9000 + b"\r\n\r\n", 431),
    "too many fields": (b"X: y\r\n" * 101 + b"\r\n", 431),
}
# Whole heads; %s is X-To.
BAD_HEADS = {
    "no Host": (b"GET / HTTP/1.1\r\n%s\r\n", 400),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n%s\r\n", 400),
    "Host with a user": (b"GET / HTTP/1.1\r\nHost: u@a\r\n%s\r\n", 400),
    "Host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n%s\r\n", 400),
    "Host with a blank": (b"GET / HTTP/1.1\r\nHost: a b\r\n%s\r\n", 400),
    "a blank behind the request line": (b"GET / HTTP/1.1\r\n X: y\r\nHost: a\r\n%s\r\n", 400),
    "a method that is no token": (b"G(T / HTTP/1.1\r\nHost: a\r\n%s\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: a\r\n%s\r\n", 400),
    "a tab": (b"GET\t/ HTTP/1.1\r\nHost: a\r\n%s\r\n", 400),
    "a target without /": (b"GET a HTTP/1.1\r\nHost: a\r\n%s\r\n", 400),
    "a bad authority": (b"GET http://a:b@c/ HTTP/1.1\r\nHost: a\r\n%s\r\n", 400),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n%s\r\n", (400, 501)),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: a\r\n%s\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: a\r\n%s\r\n", 505),
    "http/1.1": (b"GET / http/1.1\r\nHost: a\r\n%s\r\n", 400),
    "chunks in HTTP/1.0": (b"POST / HTTP/1.0\r\nHost: a\r\n%sTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
}
BAD_CHUNKS = (b"\r\nabc\r\n", b"3\r\nabcd\r\n", b"3\nabc\r\n", b"-1\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b" 3\r\nabc\r\n",
              b"3 \r\nabc\r\n", b"00000000000000003\r\nabc\r\n", b"3\r\nabc\n0\r\n\r\n", b"3;\0\r\nabc\r\n",
              b"8000000000000000\r\n", b"3;" + b"x" * 1100 + b"\r\nabc\r\n")


def statuses(got):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", got)]


@case
def smuggling():
    """By HTTP/1.1: whole, behind a good request, and byte by byte."""
    seen = []

    def answer(peer, request, body):
        seen.append(request.target)
        peer.answer(b"reached")

    with Upstream(answering(answer)) as upstream:
        to = b"X-To: %s\r\n" % upstream.url.encode()
        start = b"POST /bad HTTP/1.1\r\nHost: a\r\n" + to
        bad = {name: (start + text, status) for name, (text, status) in BAD_FIELDS.items()}
        bad.update((name, (head % to, status)) for name, (head, status) in BAD_HEADS.items())
        good = b"GET /good HTTP/1.1\r\nHost: a\r\n" + to + b"\r\n"
        for name, (text, status) in bad.items():
            for way, data in (("whole", text + good), ("behind a good one", good + text + good), ("byte by byte", text)):
                if way == "byte by byte" and len(data) > 400:
                    continue
                seen.clear()
                peer = H1(Server.main.port)
                step = 1 if way == "byte by byte" else len(data)
                try:
                    for at in range(0, len(data), step):
                        peer.send(data[at : at + step])
                except OSError:
                    pass  # it was refused before its end
                got = statuses(peer.rest())
                peer.close()
                before = [200] if way == "behind a good one" else []
                wanted = status if isinstance(status, tuple) else (status,)
                check("h1: %s, %s" % (name, way), (got[: len(before)], got[len(before) :] in [[s] for s in wanted], seen),
                      (before, True, ["/good"] * len(before)))
        # What follows an answer that ends the connection is not read.
        seen.clear()
        peer = H1(Server.main.port)
        peer.send(b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + to + b"\r\n" + good)
        check("h1: behind Connection: close", (statuses(peer.rest()), seen), ([200], ["/last"]))
        peer.close()
        seen.clear()
        peer = H1(Server.main.port)
        peer.send(b"GET /last HTTP/1.0\r\n" + to + b"\r\n" + good)
        check("h1: behind HTTP/1.0", (statuses(peer.rest()), seen), ([200], ["/last"]))
        peer.close()


@case
def smuggling_chunks():
    """Bad chunks come when the upstream has the head already: it gets no end of them."""
    ends = []

    def serve(peer, _):
        peer.request()
        try:
            ends.append(peer.chunks())
        except Cut:
            ends.append("cut")

    with Upstream(serve) as upstream:
        for text in BAD_CHUNKS:
            for pieces in (False, True):
                peer = H1(Server.main.port)
                data = (b"POST / HTTP/1.1\r\nHost: a\r\nX-To: %s\r\nTransfer-Encoding: chunked\r\n\r\n" %
                        upstream.url.encode() + text)
                try:
                    for at in range(0, len(data), 1 if pieces else len(data)):
                        peer.send(data[at : at + (1 if pieces else len(data))])
                except OSError:
                    pass
                peer.send(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n") if not pieces else None
                got = statuses(peer.rest())
                peer.close()
                check("h1: chunk %.20r%s" % (text, ", byte by byte" if pieces else ""), got in ([400], [413]), True)
        check("the upstream sees no end of bad chunks", eventually(lambda: len(ends) == upstream.count) and set(ends) <=
              {"cut"}, True)


@case
def absolute_form():
    """The authority of the target wins, and it is what the upstream gets."""
    hosts = []

    def answer(peer, request, body):
        hosts.append((request.target, request.all("host"), request.all("x-forwarded-host")))
        peer.answer(b"ok")

    with Upstream(answering(answer)) as upstream:
        peer = H1(Server.main.port)
        peer.method = "GET"
        peer.send(b"GET http://real.test/a?b HTTP/1.1\r\nHost: other.test\r\nX-To: %s\r\n\r\n" % upstream.url.encode())
        check("h1: absolute form", (peer.response().status, hosts), (200, [("/a?b", ["real.test"], ["real.test"])]))
        peer.close()


@case
def smuggling_h2():
    """By HTTP/2: what would be more than one line, or another framing, in HTTP/1.1."""
    seen = []

    def answer(peer, request, body):
        seen.append(request.target)
        peer.answer(b"reached")

    pseudo = {":method": "POST", ":scheme": "http", ":authority": "a", ":path": "/"}
    end = " HTTP/1.1\r\nHost: evil\r\n\r\nGET /evil"
    rows = {
        "CRLF in a value": [("x-y", "a\r\nTransfer-Encoding: chunked")], "LF in a value": [("x-y", "a\nb: c")],
        "CR in a value": [("x-y", "a\rb")], "NUL in a value": [("x-y", "a\0b")], "CRLF in a name": [("x\r\ny", "a")],
        "a colon in a name": [("x: y", "a")], "a blank in a name": [("transfer-encoding ", "chunked")],
        "capitals": [("Transfer-Encoding", "chunked")], "an empty name": [("", "a")],
        "transfer-encoding": [("transfer-encoding", "chunked")], "connection": [("connection", "x-user")],
        "upgrade": [("upgrade", "h2c")], "keep-alive": [("keep-alive", "1")], "te": [("te", "gzip")],
        "two lengths": [("content-length", "1"), ("content-length", "1")], "no length": [("content-length", "x")],
        "a length too short": [("content-length", "0")], "a length too long": [("content-length", "5")],
        "another host": [("host", "evil")], "CRLF in the path": {":path": "/" + end}, "a blank in the path": {":path": "/a b"},
        "a path without /": {":path": "a"}, "an empty path": {":path": ""}, "CRLF in the method": {":method": "GET /" + end},
        "a blank in the method": {":method": "GET /x"}, "CRLF in the authority": {":authority": "a\r\nx: y"},
        "a user in the authority": {":authority": "u@a"}, "a path in the authority": {":authority": "a/b"},
        "CRLF in the scheme": {":scheme": "http\r\nx: y"}, "another scheme": {":scheme": "ftp"},
        "nothing wrong": [("x-y", "a")],
    }
    with Upstream(answering(answer)) as upstream:
        for name, what in rows.items():
            seen.clear()
            peer = H2(Server.main.port)
            peer.h2.config.validate_outbound_headers = False
            peer.h2.config.normalize_outbound_headers = False
            head = dict(pseudo, **(what if isinstance(what, dict) else {}))
            fields = what if isinstance(what, list) else []
            peer.id = 1
            peer.now.body = bytearray()
            try:
                peer.h2.send_headers(1, [*head.items(), ("x-to", upstream.url), *fields])
                peer.h2.send_data(1, b"x", end_stream=True)
            except ProtocolError as error:
                check("h2: %s is sent" % name, str(error), "")
            peer.flush()
            got = peer.response()
            peer.close()
            fine = name == "nothing wrong"
            check("h2: " + name, (got.status in ([200] if fine else [0, 400, 421]), got.end == "hang", seen),
                  (True, False, ["/"] if fine else []))
