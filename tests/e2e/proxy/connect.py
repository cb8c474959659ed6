# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: WebSocket over HTTP/2 (RFC 8441), as an Upgrade at the upstream."""

import base64
import hashlib
import os
import threading
import time

from h2.settings import SettingCodes

from bulk import ALLOWED, sanitized
from harness import WORK, Server, ask, case, check, eventually, still
from peers import H1, H2, SECONDS, Upstream, answering

seen = []
ends = []


def accept(key):
    return base64.b64encode(hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def websocket(peer, _):
    """Echoes; the target says what is special."""
    request = peer.request()
    seen.append(request)
    if request.target == "/refuse":
        return peer.answer(b"no", "403 Forbidden")
    if request.target == "/ok":
        return peer.answer(b"a page")
    fields = "upgrade: websocket\r\nconnection: Upgrade\r\nx-key: 1\r\nsec-websocket-protocol: chat\r\n"
    if request.target != "/keyless":
        key = request.get("sec-websocket-key") if request.target != "/wrong" else "another"
        fields += "sec-websocket-accept: %s\r\n" % accept(key)
    if request.target == "/slow":
        time.sleep(0.1)
    peer.send(("HTTP/1.1 101 Switching Protocols\r\n%s\r\n" % fields).encode() +
              (b"early" if request.target == "/early" else b""))
    if request.target == "/end":
        peer.half_close()
        ends.append(peer.rest())
        return
    if request.target == "/reset":
        peer.exactly(4)
        return peer.reset()
    if request.target == "/last":
        peer.rest()
        return peer.send(b"last words")
    if request.target == "/flood":
        for _ in range(800):
            peer.send(bytes(65536))
            sent[0] += 65536
        return
    if request.target == "/deaf":
        go.wait(SECONDS)
    while peer.pending or peer.more():
        data, peer.pending = peer.pending, b""
        peer.send(data)
    ends.append(b"end")


sent = [0]
go = threading.Event()


def connect(upstream, path="/", fields=(), early=b"", protocol="websocket", port=None):
    peer = H2(port or Server.main.port)
    if not eventually(lambda: peer.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) or not peer.pump()):
        raise ConnectionError("no settings")
    peer.id = peer.h2.get_next_available_stream_id()
    peer.now.body = bytearray()
    peer.h2.send_headers(peer.id, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path),
                                   (":authority", peer.host), ("sec-websocket-version", "13"), ("x-to", upstream.url),
                                   *fields])
    for at in range(0, len(early), 16384):
        peer.h2.send_data(peer.id, early[at : at + 16384])
    peer.flush()
    return peer


def opened(peer):
    eventually(lambda: peer.now.status or peer.now.end != "cut" or not peer.pump())
    return peer.now.status


def gets(peer, data):
    """Whether these octets come, and nothing else."""
    eventually(lambda: len(peer.now.body) >= len(data) or peer.now.end != "cut" or not peer.pump())
    got, peer.now.body = bytes(peer.now.body), bytearray()
    return got == data


def finish(peer):
    peer.h2.end_stream(peer.id)
    peer.flush()
    return peer.response()


@case
def extended_connect():
    """A tunnel on a stream."""
    with Upstream(websocket) as upstream:
        peer = connect(upstream, "/chat?room=1", [("sec-websocket-key", "mine"), ("origin", "http://a"),
                                                  ("sec-websocket-protocol", "chat, other"), ("sec-websocket-extensions", "x")])
        check("connect: 200", (opened(peer), [key for key, _ in peer.now.fields if key in (
            "upgrade", "connection", "sec-websocket-accept", "content-length", "transfer-encoding")],
                               dict(peer.now.fields).get("x-key"), dict(peer.now.fields).get("sec-websocket-protocol")),
              (200, [], "1", "chat"))
        request = seen[-1]
        check("connect: a handshake at the upstream", (request.method, request.target, request.all("upgrade"),
              request.all("connection"), request.all("origin"), request.all("sec-websocket-version"),
              request.all("sec-websocket-protocol"), request.all("sec-websocket-extensions"),
              request.all("content-length") + request.all("transfer-encoding"), request.all("via")),
              ("GET", "/chat?room=1", ["websocket"], ["upgrade"], ["http://a"], ["13"], ["chat, other"], ["x"], [],
               ["2 zeroserve"]))
        check("connect: with a key of its own", [len(base64.b64decode(key)) for key in request.all("sec-websocket-key")], [16])
        for data in (b"a", b"\0\xff" * 500, os.urandom(300000)):
            peer.sock.settimeout(SECONDS)
            at = 0
            while at < len(data):  # the window is smaller than the last one
                size = min(peer.h2.local_flow_control_window(peer.id), 16384, len(data) - at)
                if size == 0:
                    peer.pump()
                    continue
                peer.h2.send_data(peer.id, data[at : at + size])
                peer.flush()
                at += size
            check("connect: %d octets come back" % len(data), gets(peer, data), True)
        count = len(ends)
        got = finish(peer)
        check("connect: END_STREAM is the upstream's end, and the other way round", (got.end, got.body, len(ends) > count),
              ("complete", b"", True))
        peer.close()

        peer = connect(upstream, "/last")
        opened(peer)
        check("connect: last words", finish(peer).brief(), (200, b"last words", "complete"))
        peer.close()
        peer = connect(upstream, "/early", early=b"client")
        opened(peer)
        eventually(lambda: len(peer.now.body) == 11 or not peer.pump())
        check("connect: octets right behind the heads", bytes(peer.now.body), b"earlyclient")
        peer.close()
        peer = connect(upstream, "/slow", early=b"x" * 40000)
        opened(peer)
        check("connect: octets before there is a tunnel", gets(peer, b"x" * 40000), True)
        peer.close()
        peer = connect(upstream, "/end")
        opened(peer)
        check("connect: the upstream's end is END_STREAM", peer.response().brief(), (200, b"", "complete"))
        peer.close()
        peer = connect(upstream, "/reset", early=b"1234")
        check("connect: a reset is CANCEL", peer.response().end, "reset 8")
        peer.close()
        for how in ("leave", "close", "reset"):
            count = len(ends)
            peer = connect(upstream)
            opened(peer)
            getattr(peer, how)()
            check("connect: %s reaches the upstream" % how, eventually(lambda: len(ends) > count), True)
            if how == "leave":
                peer.close()
        # The connection is good for others meanwhile.
        peer = connect(upstream)
        opened(peer)
        peer.start(path="/no", fields=[])
        check("connect: another request beside it", peer.response().status, 404)
        peer.close()


@case
def extended_connect_refused():
    """No tunnel: an error, and never a 2xx."""
    with Upstream(websocket) as upstream, Upstream(answering(b"HTTP/1.1 204 No Content\r\n\r\n")) as other:
        for name, to, path, protocol, status in (
                ("an upstream refuses", upstream, "/refuse", "websocket", 403),
                ("a page instead", upstream, "/ok", "websocket", 502),
                ("204", other, "/", "websocket", 502),
                ("a wrong key", upstream, "/wrong", "websocket", 502),
                ("no key", upstream, "/keyless", "websocket", 502),
                ("another protocol", upstream, "/", "connect-udp", 501),
                ("h2c", upstream, "/", "h2c", 501)):
            peer = connect(to, path, protocol=protocol, early=b"abc")
            got = peer.response()
            check("connect: " + name, (got.status, got.end), (status, "complete"))
            peer.start(path="/no")
            check("connect: %s, the connection goes on" % name, peer.response().status, 404)
            peer.close()
        peer = connect(upstream, fields=[("x-to", "unix/none")])  # the last one counts
        check("connect: nobody there", peer.response().status, 502)
        peer.close()
        peer = H2(Server.main.port)
        peer.id = peer.h2.get_next_available_stream_id()
        peer.now.body = bytearray()
        peer.h2.config.validate_outbound_headers = False
        peer.h2.send_headers(peer.id, [(":method", "CONNECT"), (":authority", "a:1")])
        peer.flush()
        check("connect: without a protocol", peer.response().status, 501)
        peer.close()
    os.mkdir(os.path.join(WORK.name, "plain"))
    with open(os.path.join(WORK.name, "plain", "index.html"), "w") as page:
        page.write("hello")
    plain = Server(script="plain")
    peer = H2(plain.port)
    peer.pump()
    check("connect: not offered where no script has upstreams",
          peer.h2.remote_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL, 0), 0)
    peer.close()
    check("the server without scripts ends well", plain.stop(), 0)


@case
def extended_connect_pressure():
    """Who does not read is waited for."""

    with Upstream(websocket) as upstream:
        sent[0] = 0
        peer = connect(upstream, "/flood")
        before = Server.main.resident()
        check("connect: an upstream waits for a client", still(lambda: sent[0]) < 800 * 65536, True)
        if not sanitized():
            check("connect: its octets are not in our memory", Server.main.resident() - before < ALLOWED, True)
        got = peer.response()
        check("connect: then all of it comes", (len(got.body), got.end), (800 * 65536, "complete"))
        peer.close()
        go.clear()
        peer = connect(upstream, "/deaf")
        opened(peer)
        pushed = 0
        peer.sock.settimeout(0.5)
        while pushed < 40 << 20:
            size = min(peer.h2.local_flow_control_window(peer.id), 16384)
            if size == 0:
                if not peer.pump():
                    break
                continue
            peer.h2.send_data(peer.id, bytes(size))
            peer.flush()
            pushed += size
        check("connect: a client waits for an upstream", pushed < 40 << 20, True)
        peer.sock.settimeout(SECONDS)
        peer.now.end = "cut"
        go.set()
        eventually(lambda: len(peer.now.body) == pushed or not peer.pump())
        check("connect: then the upstream has all of it", len(peer.now.body), pushed)
        peer.close()
    check("all is well afterwards", ask(H1, "http://127.0.0.1:1").status, 502)
