# SPDX-License-Identifier: Apache-2.0
"""The peers of a proxy under test: upstreams that say byte by byte what a case wants, and clients of HTTP/1.1 and
HTTP/2 that tell how an answer ended. Every wait has a limit, which is reached only when something is wrong.
"""

import os
import socket
import ssl
import struct
import threading

import h2.config
import h2.connection
import h2.errors
import h2.events

SECONDS = int(os.environ.get("PROXY_SECONDS", "20"))  # for what has to come

# An upstream that ends without having said so may meet the next request, which is repeated only if it is idempotent.
CLOSE = "connection: close\r\n"


class Cut(Exception):
    """The other side ended in the middle."""


class Hang(Cut):
    """Nothing came for too long."""


class Peer:
    """A connection with a buffer; both ends use it."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(SECONDS)
        if sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def send(self, data):
        self.sock.sendall(data)

    def more(self, size=65536):
        """Adds what comes to the buffer; False at the end."""
        try:
            data = self.sock.recv(size)
        except socket.timeout:
            raise Hang(self.pending)
        except (ConnectionError, ssl.SSLError):
            data = b""
        self.pending += data
        return len(data) > 0

    def until(self, mark):
        """What comes up to the mark, which it includes."""
        while mark not in self.pending:
            if not self.more():
                raise Cut(self.pending)
        end = self.pending.index(mark) + len(mark)
        data, self.pending = self.pending[:end], self.pending[end:]
        return data

    def exactly(self, count):
        while len(self.pending) < count:
            if not self.more():
                raise Cut(self.pending)
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def rest(self):
        while self.more():
            pass
        data, self.pending = self.pending, b""
        return data

    def chunks(self):
        """The content of a body in chunks, and its trailer lines."""
        content = bytearray()
        while True:
            size = int(self.until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            content += self.exactly(size)
            if self.exactly(2) != b"\r\n":
                raise Cut(content)
        trailers = []
        while True:
            line = self.until(b"\r\n")[:-2]
            if not line:
                return bytes(content), trailers
            trailers.append(line)

    def fields(self, lines):
        pairs = [line.split(b":", 1) for line in lines]
        return [(name.decode("latin-1").lower(), value.decode("latin-1").strip()) for name, value in pairs]

    def gone(self):
        """Whether the other side ends; drops what comes until then."""
        try:
            while self.sock.recv(1 << 20):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Request:
    def __init__(self, method, target, fields):
        self.method, self.target, self.fields = method, target, fields

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name, default=None):
        found = self.all(name)
        return found[-1] if found else default


class UpstreamPeer(Peer):
    def request(self):
        """The next head, or None at the end."""
        try:
            head = self.until(b"\r\n\r\n")
        except Cut:
            return None
        lines = head[:-4].split(b"\r\n")
        method, target, _ = lines[0].decode("latin-1").split(" ")
        return Request(method, target, self.fields(lines[1:]))

    def body(self, request):
        if request.get("transfer-encoding") == "chunked":
            return self.chunks()[0]
        return self.exactly(int(request.get("content-length", "0")))

    def answer(self, body=b"", status="200 OK", fields=""):
        self.send(("HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n" % (status, fields, len(body))).encode() + body)


class Upstream:
    """Runs `serve(peer, number)` in a thread for each connection; number counts them from 0."""

    def __init__(self, serve, path=None, context=None):
        self.serve = serve
        self.count = 0
        self.peers = []
        self.context = context
        if path is not None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            self.url = "unix/" + path
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", 0))
            self.port = self.listener.getsockname()[1]
            self.url = "%s://127.0.0.1:%d" % ("https" if context else "http", self.port)
        self.listener.listen(256)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            number, self.count = self.count, self.count + 1
            threading.Thread(target=self.run, args=(sock, number), daemon=True).start()

    def run(self, sock, number):
        peer = None
        try:
            if self.context:
                sock = self.context.wrap_socket(sock, server_side=True)
            peer = UpstreamPeer(sock)
            self.peers.append(peer)
            self.serve(peer, number)
        except (OSError, Cut, ValueError):
            pass
        (peer or sock).close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for peer in self.peers:
            try:
                peer.close()
            except OSError:
                pass


def answering(answer):
    """What an Upstream runs: each request is read whole and answered by these bytes, or by answer(peer, request,
    body)."""

    def serve(peer, _):
        while True:
            request = peer.request()
            if request is None:
                return
            body = peer.body(request)
            if callable(answer):
                answer(peer, request, body)
            else:
                peer.send(answer)

    return serve


class Response:
    """status 0: none came. end: `complete`, `cut`, or `reset` with a code."""

    def __init__(self):
        self.status = 0
        self.fields = []
        self.body = b""
        self.end = "cut"
        self.trailers = []
        self.interim = []
        self.lasts = False  # the connection is good for another request

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name, default=None):
        found = self.all(name)
        return found[-1] if found else default

    def brief(self):
        return self.status, bytes(self.body), self.end


class H1(Peer):
    """A client. `start` sends a request with its body, or without the end of it; `response` reads what comes."""

    name = "h1"

    def __init__(self, port, context=None):
        sock = socket.create_connection(("127.0.0.1", port), SECONDS)
        if context:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        super().__init__(sock)
        self.host = "localhost" if context else "proxied.test"

    def start(self, method="GET", path="/", fields=(), body=None, length=None):
        """body None: there is none. length: how much of it will come; -1: not said."""
        self.method = method
        self.chunked = body is not None and length == -1
        lines = ["%s %s HTTP/1.1" % (method, path), "host: " + self.host]
        lines += ["%s: %s" % field for field in fields]
        if self.chunked:
            lines.append("transfer-encoding: chunked")
        elif body is not None:
            lines.append("content-length: %d" % (len(body) if length is None else length))
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        if body:
            self.data(body, length is None)
        elif self.chunked and length is None:
            self.data(b"", True)

    def data(self, body, end=False):
        if self.chunked and body:
            self.send(b"%x\r\n%s\r\n" % (len(body), body))
        elif body:
            self.send(body)
        if self.chunked and end:
            self.send(b"0\r\n\r\n")

    def leave(self):
        self.close()

    def head(self, response):
        lines = self.until(b"\r\n\r\n")[:-4].split(b"\r\n")
        return int(lines[0].split(b" ")[1]), self.fields(lines[1:])

    def response(self):
        response = Response()
        try:
            status, fields = self.head(response)
            while 100 <= status < 200 and status != 101:
                response.interim.append((status, fields))
                status, fields = self.head(response)
            response.status, response.fields = status, fields
            self.read_body(response)
        except Cut as cut:
            response.body += cut.args[0]
            response.end = "hang" if isinstance(cut, Hang) else "cut"
        return response

    def read_body(self, response):
        length = response.get("content-length")
        response.lasts = response.get("connection") != "close"
        if self.method == "HEAD" or response.status in (101, 204, 304):
            pass
        elif response.get("transfer-encoding") == "chunked":
            response.body, lines = self.chunks()
            response.trailers = self.fields(lines)
        elif length is not None:
            response.body = self.exactly(int(length))
        else:
            response.body = self.rest()
            response.lasts = False
        response.end = "complete"


class H2(Peer):
    """The same with prior knowledge of HTTP/2; one request at a time is enough here."""

    name = "h2"

    def __init__(self, port, context=None):
        sock = socket.create_connection(("127.0.0.1", port), SECONDS)
        if context:
            sock = context.wrap_socket(sock, server_hostname="localhost")
        super().__init__(sock)
        self.host = "localhost" if context else "proxied.test"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.id = 0
        self.over = {}
        self.now = Response()
        self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.send(data)

    def start(self, method="GET", path="/", fields=(), body=None, length=None):
        self.id = self.h2.get_next_available_stream_id()
        self.now = Response()
        self.now.body = bytearray()
        head = [(":method", method), (":scheme", "http"), (":authority", self.host), (":path", path)]
        head += [(name.lower(), value) for name, value in fields]
        if body is not None and length != -1:
            head.append(("content-length", str(len(body) if length is None else length)))
        self.h2.send_headers(self.id, head, end_stream=body is None)
        self.flush()
        if body:
            self.data(body, length is None)
        elif body is not None and length is None:
            self.data(b"", True)

    def data(self, body, end=False):
        at = 0
        while at < len(body):
            size = min(self.h2.local_flow_control_window(self.id), 16384, len(body) - at)
            if size == 0:
                if not self.pump() or self.now.end != "cut":
                    raise ConnectionError("no window")
                continue
            self.h2.send_data(self.id, body[at : at + size])
            at += size
            self.flush()
        if end:
            self.h2.end_stream(self.id)
            self.flush()

    def leave(self):
        self.h2.reset_stream(self.id, h2.errors.ErrorCodes.CANCEL)
        self.flush()

    def pump(self):
        """Takes what comes; False at the end of the connection."""
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            self.now.end = "hang"
            return False
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            return False
        for event in self.h2.receive_data(data):
            if getattr(event, "stream_id", self.id) == self.id:
                self.take(event)
        try:
            self.flush()
        except OSError:
            return False
        return True

    def take(self, event):
        now = self.now
        if isinstance(event, h2.events.InformationalResponseReceived):
            fields = [(str(k), str(v)) for k, v in event.headers]
            now.interim.append((int(fields[0][1]), fields[1:]))
        elif isinstance(event, h2.events.ResponseReceived):
            fields = [(str(k), str(v)) for k, v in event.headers]
            now.status, now.fields = int(fields[0][1]), fields[1:]
        elif isinstance(event, h2.events.TrailersReceived):
            now.trailers = [(str(k), str(v)) for k, v in event.headers]
        elif isinstance(event, h2.events.DataReceived):
            now.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            now.end = "complete"
            now.lasts = True
        elif isinstance(event, h2.events.StreamReset) and now.end != "complete":
            now.end = "reset %d" % event.error_code

    def response(self):
        while self.now.end == "cut" and self.pump():
            pass
        self.now.body = bytes(self.now.body)
        return self.now
