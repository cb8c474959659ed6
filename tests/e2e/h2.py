# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 conformance: raw frames over a socket to a running server, one connection a case.

The server speaks HTTP/2 with prior knowledge, answers GET / with 200 and GET /big.bin with 200 and 1 MiB. Rules are
those of RFC 9113, RFC 7541 (HPACK), RFC 9218 (priorities); the case names begin with the section. Where the RFC allows
to end the connection instead of a stream, both are right. Prints a line for each case and `N passed, N failed` at the
end. Needs the hpack package of python3-h2.
usage: h2.py PORT
"""

import socket
import struct
import sys
import traceback

import hpack

PORT = int(sys.argv[1])
SECONDS = 20  # for an answer that has to come; never waited for when all is well
BIG = 1 << 20

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 1, 1, 4, 8, 32
NO_ERROR, PROTOCOL, INTERNAL, FLOW_CONTROL, TIMEOUT, STREAM_CLOSED, FRAME_SIZE, REFUSED, CANCEL, COMPRESSION = range(10)
CALM = 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", "/")]
BIG_REQUEST = REQUEST[:3] + [(":path", "/big.bin")]
POST = [(":method", "POST")] + REQUEST[1:]


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first=0):
    """RFC 7541 5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def text(value):
    value = value if isinstance(value, bytes) else value.encode("latin-1")
    return integer(len(value), 7) + value


def literal(name, value, kind=0):
    return bytes([kind]) + text(name) + text(value)


def block(fields):
    """Literals only, so that the connection's HPACK state does not matter."""
    return b"".join(literal(name, value) for name, value in fields)


def head(stream=1, fields=None, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(REQUEST if fields is None else fields))


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(stream, bytes_more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", bytes_more))


def reset(stream, error=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def priority(stream, on=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", on, weight))


def ping(payload=b"12345678", flags=0):
    return frame(PING, flags, 0, payload)


class Closed(Exception):
    pass


class Peer:
    def __init__(self, hello=PREFACE + settings(), acknowledge=True):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = b""
        self.decoder = hpack.Decoder()
        self.acknowledge = acknowledge
        self.status = {}  # of streams
        self.body = {}
        self.ended = set()
        self.resets = {}
        self.goaway = None
        self.settings = None
        self.settings_acks = 0
        self.send(hello)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what the server said before is still to be read

    def receive(self, size):
        while len(self.input) < size:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed
            self.input += more
        data, self.input = self.input[:size], self.input[size:]
        return data

    def next(self):
        """Reads a frame and notes what it says."""
        start = self.receive(9)
        size = int.from_bytes(start[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", start[3:])
        payload = self.receive(size)
        assert size <= 16384, "frame too long"
        assert stream < 1 << 31
        self.note(kind, flags, stream, payload)
        return kind, flags, stream, payload

    def note(self, kind, flags, stream, payload):
        if self.settings is None:
            assert kind == SETTINGS and not flags & ACK, "first frame is not SETTINGS"
        if kind == SETTINGS and flags & ACK:
            self.settings_acks += 1
        elif kind == SETTINGS:
            self.settings = dict(struct.iter_unpack(">HI", payload))
            if self.acknowledge:
                self.send(frame(SETTINGS, ACK))
        elif kind == HEADERS:
            assert flags & END_HEADERS and not flags & (PADDED | PRIORITIZED)
            fields = self.decoder.decode(payload)
            assert all(name == name.lower() for name, _ in fields), fields
            self.status.setdefault(stream, int(fields[0][1]))
            self.body.setdefault(stream, 0)
        elif kind == DATA:
            self.body[stream] += len(payload)
        elif kind == RST_STREAM:
            self.resets.setdefault(stream, struct.unpack(">I", payload)[0])
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])[1]
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.add(stream)

    def until(self, done):
        while not done():
            self.next()

    def barrier(self, payload=b"barrier!"):
        """Everything sent so far was read by the server."""
        self.send(ping(payload))
        while True:
            kind, flags, _, data = self.next()
            if kind == PING and flags & ACK and data == payload:
                return

    def answered(self, stream, status=200, body=None):
        self.until(lambda: stream in self.ended or stream in self.resets)
        assert self.status.get(stream) == status, (self.status, self.resets)
        assert body is None or self.body[stream] == body, self.body[stream]

    def alive(self, stream=1001):
        """The connection still serves."""
        self.send(settings((4, 65535)) + head(stream))
        self.answered(stream)
        assert self.goaway is None, "GOAWAY %d" % self.goaway

    def connection_error(self, *errors):
        try:
            while True:
                self.next()
        except Closed:
            pass
        assert self.goaway is None or self.goaway in errors, "GOAWAY %d" % self.goaway

    def stream_error(self, stream, *errors):
        """RST_STREAM, or the end of the connection, with one of the errors."""
        try:
            self.until(lambda: stream in self.resets or stream in self.ended or self.goaway is not None)
        except Closed:
            return
        if self.goaway is not None:
            assert self.goaway in errors, "GOAWAY %d" % self.goaway
        elif stream in self.resets:
            assert self.resets[stream] in errors, "RST_STREAM %d" % self.resets[stream]
            self.alive()
        else:  # the answer to the head, refused as a whole
            assert self.status[stream] >= 400, self.status

    def close(self):
        self.socket.close()


CASES = []


def case(name):
    def add(function):
        CASES.append((name, function))
        return function
    return add


# ---- tables: what is sent after the hello, and what has to follow

def ok(*data, stream=1, status=200):
    def run(peer):
        for piece in data:
            peer.send(piece)
        peer.answered(stream, status)
        peer.alive()
    return run


def connection(*data, error):
    def run(peer):
        peer.send(b"".join(data))
        peer.connection_error(*(error if isinstance(error, tuple) else (error,)))
    return run


def stream(*data, error, number=1):
    def run(peer):
        peer.send(b"".join(data))
        peer.stream_error(number, *(error if isinstance(error, tuple) else (error,)))
    return run


def ignored(*data):
    def run(peer):
        peer.send(b"".join(data))
        peer.barrier()
        peer.alive()
    return run


def table(rows):
    CASES.extend(rows.items())


STALL = settings((4, 0))  # no answer has a body before the window opens
GET = head()
HALF_CLOSED = STALL + window(0, 2 * BIG) + head(1, BIG_REQUEST)  # and stays so
DONE = head(1, flags=END_STREAM | END_HEADERS)


def after_answer(*data, error):
    """On a stream that both sides have ended."""
    def run(peer):
        peer.send(DONE)
        peer.answered(1)
        peer.send(b"".join(data))
        peer.connection_error(error)
    return run


def after_answer_ignored(*data):
    def run(peer):
        peer.send(DONE)
        peer.answered(1)
        peer.send(b"".join(data))
        peer.barrier()
        peer.alive()
    return run


table({
    "4.1 unknown frame": ignored(frame(0x77, 0xff, 0, b"x" * 100), frame(0x78, 0, 1, b"")),
    "4.1 unknown flags": ignored(ping(flags=0xfe & ~ACK)),
    "4.1 reserved bit of PING": ignored(frame(PING, 0, 1 << 31, b"12345678")),
    "4.1 reserved bit of HEADERS": ok(frame(HEADERS, 5, 1 << 31 | 1, block(REQUEST))),
    "4.2 longest frame": ok(head(1, REQUEST + [("x%d" % i, "v" * 4000) for i in range(3)])),
    "4.2 DATA too long": connection(head(1, POST, END_HEADERS), frame(DATA, 0, 1, b"x" * 16385), error=FRAME_SIZE),
    "4.2 HEADERS too long": connection(frame(HEADERS, 5, 1, b"x" * 16385), error=FRAME_SIZE),
    "4.2 unknown frame too long": connection(frame(0x77, 0, 0, b"x" * 16385), error=FRAME_SIZE),
    "4.3 index of no entry": connection(frame(HEADERS, 5, 1, b"\xff\x80\x01"), error=COMPRESSION),
    "4.3 block ends in a field": connection(frame(HEADERS, 5, 1, block(REQUEST)[:-1]), error=COMPRESSION),
    "4.3 PRIORITY within a block": connection(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)), priority(1), frame(CONTINUATION, END_HEADERS, 1),
        error=PROTOCOL),
    "4.3 DATA within a block": connection(
        frame(HEADERS, 0, 1, block(POST)), frame(DATA, END_STREAM, 1, b"x"), error=PROTOCOL),
    "4.3 HEADERS of another within a block": connection(frame(HEADERS, END_STREAM, 1, block(REQUEST)), head(3),
                                                       error=PROTOCOL),
    "4.3 CONTINUATION of another within a block": connection(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)), frame(CONTINUATION, END_HEADERS, 3), error=PROTOCOL),
    "4.3 PING within a block": connection(frame(HEADERS, END_STREAM, 1, block(REQUEST)), ping(), error=PROTOCOL),
    "5.5 unknown frame within a block": connection(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)), frame(0x77, 0, 1), frame(CONTINUATION, 4, 1), error=PROTOCOL),

    "5.1 idle: DATA": connection(frame(DATA, END_STREAM, 1, b"x"), error=PROTOCOL),
    "5.1 idle: RST_STREAM": connection(reset(1), error=PROTOCOL),
    "5.1 idle: WINDOW_UPDATE": connection(window(1, 100), error=PROTOCOL),
    "5.1 idle: CONTINUATION": connection(frame(CONTINUATION, 4, 1, block(REQUEST)), error=PROTOCOL),
    "5.1 idle: PRIORITY": ignored(priority(1), priority(7)),
    "5.1 half closed: DATA": stream(HALF_CLOSED, frame(DATA, END_STREAM, 1, b"x"), error=STREAM_CLOSED),
    "5.1 half closed: HEADERS": stream(HALF_CLOSED, head(1), error=STREAM_CLOSED),
    "5.1 half closed: CONTINUATION": connection(HALF_CLOSED, frame(CONTINUATION, 4, 1, block(REQUEST)),
                                                error=PROTOCOL),
    "5.1 half closed: PRIORITY": ignored(HALF_CLOSED, priority(1)),
    "5.1 half closed: RST_STREAM": ignored(HALF_CLOSED, reset(1)),
    "5.1 half closed: WINDOW_UPDATE": ignored(HALF_CLOSED, window(1, 100)),
    "5.1 reset: DATA": stream(HALF_CLOSED, reset(1), frame(DATA, END_STREAM, 1, b"x"), error=STREAM_CLOSED),
    "5.1 reset: HEADERS": stream(HALF_CLOSED, reset(1), head(1), error=STREAM_CLOSED),
    "5.1 reset: CONTINUATION": connection(HALF_CLOSED, reset(1), frame(CONTINUATION, 4, 1, b""), error=PROTOCOL),
    "5.1 reset: WINDOW_UPDATE, PRIORITY, RST_STREAM": ignored(
        HALF_CLOSED, reset(1), window(1, 9), priority(1), reset(1)),
    "5.1 closed: DATA": after_answer(frame(DATA, END_STREAM, 1, b"x"), error=STREAM_CLOSED),
    "5.1 closed: HEADERS": after_answer(head(1), error=STREAM_CLOSED),
    "5.1 closed: CONTINUATION": after_answer(frame(CONTINUATION, 4, 1, b""), error=PROTOCOL),
    "5.1 closed: WINDOW_UPDATE": after_answer_ignored(window(1, 100)),
    "5.1 closed: PRIORITY": after_answer_ignored(priority(1)),
    "5.1 closed: RST_STREAM": after_answer_ignored(reset(1)),
    "5.1.1 even stream": connection(head(2), error=PROTOCOL),
    "5.1.1 stream 0": connection(head(0), error=PROTOCOL),
    "5.1.1 streams may be skipped": ok(head(101), stream=101),
    "5.1.1 lower than before": connection(head(5), head(3), error=PROTOCOL),
    "5.1.1 DATA on a skipped stream": connection(head(5), frame(DATA, END_STREAM, 3, b"x"), error=PROTOCOL),
    "5.3 PRIORITY is obsolete, not wrong": ignored(priority(9, 3), priority(11, 1 << 31)),

    "6.1 DATA on stream 0": connection(frame(DATA, 0, 0, b"x"), error=PROTOCOL),
    "6.1 padding as long as the frame": connection(
        head(1, POST, END_HEADERS), frame(DATA, PADDED | END_STREAM, 1, b"\x06" + b"12345"), error=PROTOCOL),
    "6.1 padded without a length": connection(
        head(1, POST, END_HEADERS), frame(DATA, PADDED, 1, b""), error=(PROTOCOL, FRAME_SIZE)),
    "6.2 padded": ok(frame(HEADERS, 5 | PADDED, 1, b"\x05" + block(REQUEST) + b"\0" * 5)),
    "6.2 with a priority": ok(frame(HEADERS, 5 | PRIORITIZED, 1, b"\0\0\0\0\x10" + block(REQUEST))),
    "6.2 padded, with a priority": ok(
        frame(HEADERS, 5 | PADDED | PRIORITIZED, 1, b"\x01" + b"\0\0\0\0\x10" + block(REQUEST) + b"\0")),
    "6.2 padding longer than the frame": connection(
        frame(HEADERS, 5 | PADDED, 1, b"\xff" + block(REQUEST)), error=PROTOCOL),
    "6.2 priority cut off": connection(
        frame(HEADERS, 5 | PRIORITIZED, 1, b"\0\0\0"), error=(PROTOCOL, FRAME_SIZE)),
    "6.3 PRIORITY on stream 0": connection(priority(0, 1), error=PROTOCOL),
    "6.3 PRIORITY too short": stream(HALF_CLOSED, frame(PRIORITY, 0, 1, b"1234"), error=FRAME_SIZE),
    "6.3 PRIORITY too long": stream(HALF_CLOSED, frame(PRIORITY, 0, 1, b"123456"), error=FRAME_SIZE),
    "6.4 RST_STREAM on stream 0": connection(reset(0), error=PROTOCOL),
    "6.4 RST_STREAM too short": connection(HALF_CLOSED, frame(RST_STREAM, 0, 1, b"123"), error=FRAME_SIZE),
    "6.4 RST_STREAM too long": connection(HALF_CLOSED, frame(RST_STREAM, 0, 1, b"12345"), error=FRAME_SIZE),
    "6.4 unknown error": ignored(HALF_CLOSED, reset(1, 0xabcdef)),
    "6.5 SETTINGS on a stream": connection(frame(SETTINGS, 0, 1), error=PROTOCOL),
    "6.5 ACK with a payload": connection(frame(SETTINGS, ACK, 0, b"\0\4\0\0\0\1"), error=FRAME_SIZE),
    "6.5 half an entry": connection(frame(SETTINGS, 0, 0, b"\0\4\0"), error=FRAME_SIZE),
    "6.5.2 ENABLE_PUSH 2": connection(settings((2, 2)), error=PROTOCOL),
    "6.5.2 ENABLE_PUSH 0 and 1": ignored(settings((2, 0)), settings((2, 1))),
    "6.5.2 INITIAL_WINDOW_SIZE 2^31": connection(settings((4, 1 << 31)), error=FLOW_CONTROL),
    "6.5.2 INITIAL_WINDOW_SIZE 2^31-1": ignored(settings((4, (1 << 31) - 1))),
    "6.5.2 MAX_FRAME_SIZE 16383": connection(settings((5, 16383)), error=PROTOCOL),
    "6.5.2 MAX_FRAME_SIZE 2^24": connection(settings((5, 1 << 24)), error=PROTOCOL),
    "6.5.2 MAX_FRAME_SIZE 2^24-1": ignored(settings((5, (1 << 24) - 1))),
    "6.5.2 HEADER_TABLE_SIZE 0 and 2^32-1": ok(settings((1, 0)), settings((1, (1 << 32) - 1)), GET),
    "6.5.2 MAX_HEADER_LIST_SIZE 0": ignored(settings((6, (1 << 32) - 1))),
    "6.5.2 unknown setting": ignored(settings((0xabc, 7), (0, 1))),
    "6.5.2 NO_RFC7540_PRIORITIES 2": connection(settings((9, 2)), error=PROTOCOL),
    "6.5.3 too many entries": connection(settings(*[(4, 65535)] * 33), error=(CALM, PROTOCOL)),
    "6.6 PUSH_PROMISE from a client": connection(
        HALF_CLOSED, frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(REQUEST)), error=PROTOCOL),
    "6.7 PING on a stream": connection(frame(PING, 0, 1, b"12345678"), error=PROTOCOL),
    "6.7 PING too short": connection(ping(b"1234567"), error=FRAME_SIZE),
    "6.7 PING too long": connection(ping(b"123456789"), error=FRAME_SIZE),
    "6.8 GOAWAY on a stream": connection(frame(GOAWAY, 0, 1, b"\0" * 8), error=PROTOCOL),
    "6.8 GOAWAY too short": connection(frame(GOAWAY, 0, 0, b"\0" * 7), error=FRAME_SIZE),
    "6.9 no increment, connection": connection(window(0, 0), error=PROTOCOL),
    "6.9 no increment, stream": stream(HALF_CLOSED, window(1, 0), error=PROTOCOL),
    "6.9 too short": connection(frame(WINDOW_UPDATE, 0, 0, b"123"), error=FRAME_SIZE),
    "6.9 too long": connection(frame(WINDOW_UPDATE, 0, 0, b"12345"), error=FRAME_SIZE),
    "6.9 reserved bit": ignored(window(0, 1 << 31 | 1)),
    "6.9.1 window of the connection too large": connection(window(0, (1 << 31) - 1), error=FLOW_CONTROL),
    "6.9.1 window of a stream too large": stream(
        HALF_CLOSED, window(1, (1 << 31) - 1), window(1, 1), error=FLOW_CONTROL),
    "6.9.2 settings make a window too large": connection(
        HALF_CLOSED, window(1, 2), settings((4, (1 << 31) - 1)), error=FLOW_CONTROL),
    "6.10 several CONTINUATIONs": ok(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)[:2]), frame(CONTINUATION, 0, 1, block(REQUEST)[2:9]),
        frame(CONTINUATION, 0, 1), frame(CONTINUATION, END_HEADERS, 1, block(REQUEST)[9:])),
    "6.10 CONTINUATION after the end": connection(HALF_CLOSED, frame(CONTINUATION, 4, 1), error=PROTOCOL),
    "6.10 CONTINUATION on stream 0": connection(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)), frame(CONTINUATION, 4, 0), error=PROTOCOL),
    "6.10 CONTINUATION first": connection(frame(CONTINUATION, 4, 1, block(REQUEST)), error=PROTOCOL),
    "6.10 CONTINUATIONs without end": connection(
        frame(HEADERS, END_STREAM, 1, block(REQUEST)), frame(CONTINUATION, 0, 1) * 100, error=(CALM, PROTOCOL)),
    "9218 7.1 PRIORITY_UPDATE": ignored(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1, i"), GET),
    "9218 7.1 PRIORITY_UPDATE nobody understands": ignored(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1????")),
    "9218 7.1 PRIORITY_UPDATE on a stream": connection(frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\1u=1"), error=PROTOCOL),
    "9218 7.1 PRIORITY_UPDATE of stream 0": connection(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1"), error=PROTOCOL),
    "9218 5 priority field": ok(head(1, REQUEST + [("priority", "u=0, i")])),
    "9218 4 priority field nobody understands": ok(head(1, REQUEST + [("priority", "u=99, ???")])),
})

# ---- 8: messages

BODY = head(1, POST, END_HEADERS)


def with_fields(*fields):
    return head(1, REQUEST + list(fields))


def without(name, *instead):
    """The other pseudo fields, then these."""
    return head(1, [field for field in REQUEST if field[0] != name] + list(instead))


def body_of(length, *frames):
    return head(1, POST + [("content-length", length)], END_HEADERS) + b"".join(frames)


for name, data in {
        "8.1 trailers do not end the stream": BODY + frame(DATA, 0, 1, b"x") + head(1, [("a", "b")], END_HEADERS),
        "8.1 pseudo field in trailers": BODY + frame(DATA, 0, 1, b"x") + head(1, [(":path", "/")]),
        "8.1 connection field in trailers": BODY + frame(DATA, 0, 1, b"x") + head(1, [("connection", "close")]),
        "8.1.1 body shorter than its length": body_of("5", frame(DATA, END_STREAM, 1, b"1234")),
        "8.1.1 body longer than its length": body_of("5", frame(DATA, END_STREAM, 1, b"123456")),
        "8.1.1 length of several frames wrong": body_of("5", frame(DATA, 0, 1, b"123"), frame(DATA, 1, 1, b"456")),
        "8.1.1 length without a body": with_fields(("content-length", "5")),
        "8.1.1 two lengths": with_fields(("content-length", "0"), ("content-length", "0")),
        "8.1.1 length with a sign": with_fields(("content-length", "+0")),
        "8.1.1 list of lengths": with_fields(("content-length", "0, 0")),
        "8.1.1 length beyond 64 bits": with_fields(("content-length", "99999999999999999999")),
        "8.2.1 upper case name": with_fields(("X-Up", "v")),
        "8.2.1 space in a name": with_fields(("a b", "v")),
        "8.2.1 colon in a name": with_fields(("a:b", "v")),
        "8.2.1 control in a name": with_fields(("a\x01", "v")),
        "8.2.1 DEL in a name": with_fields(("a\x7f", "v")),
        "8.2.1 high byte in a name": with_fields(("a\xff", "v")),
        "8.2.1 empty name": with_fields(("", "v")),
        "8.2.1 NUL in a value": with_fields(("a", "b\0c")),
        "8.2.1 CR in a value": with_fields(("a", "b\rc")),
        "8.2.1 LF in a value": with_fields(("a", "b\nc")),
        "8.2.1 space before a value": with_fields(("a", " b")),
        "8.2.1 tab behind a value": with_fields(("a", "b\t")),
        "8.2.2 connection": with_fields(("connection", "keep-alive")),
        "8.2.2 keep-alive": with_fields(("keep-alive", "5")),
        "8.2.2 proxy-connection": with_fields(("proxy-connection", "close")),
        "8.2.2 transfer-encoding": with_fields(("transfer-encoding", "chunked")),
        "8.2.2 upgrade": with_fields(("upgrade", "h2c")),
        "8.2.2 te other than trailers": with_fields(("te", "trailers, deflate")),
        "8.3 unknown pseudo field": with_fields((":test", "ok")),
        "8.3 pseudo field of answers": with_fields((":status", "200")),
        "8.3 pseudo field behind others": without(":path", ("a", "b"), (":path", "/")),
        "8.3.1 no method": without(":method"),
        "8.3.1 no scheme": without(":scheme"),
        "8.3.1 no path": without(":path"),
        "8.3.1 no authority and no Host": without(":authority"),
        "8.3.1 empty path": without(":path", (":path", "")),
        "8.3.1 path without a slash": without(":path", (":path", "index.html")),
        "8.3.1 asterisk of a GET": without(":path", (":path", "*")),
        "8.3.1 space in the path": without(":path", (":path", "/a b")),
        "8.3.1 method twice": with_fields((":method", "GET")),
        "8.3.1 scheme twice": with_fields((":scheme", "http")),
        "8.3.1 path twice": with_fields((":path", "/")),
        "8.3.1 authority twice": with_fields((":authority", "127.0.0.1")),
        "8.3.1 authority and Host differ": with_fields(("host", "other.example")),
        "8.3.1 authority with a user": without(":authority", (":authority", "u@127.0.0.1")),
        "8.3.1 space in the method": without(":method", (":method", "GE T")),
        "8.3.1 fragment in the path": without(":path", (":path", "/#a")),
        "8.5 CONNECT with a scheme and a path": without(":method", (":method", "CONNECT")),
        "8.5 CONNECT without an authority": head(1, [(":method", "CONNECT")]),
        "8.5 CONNECT is not for this server": head(1, [(":method", "CONNECT"), (":authority", "a:443")]),
        "10.5.1 fields beyond the limit": with_fields(*[("x%d" % i, "v" * 20) for i in range(120)]),
        "10.5.1 field beyond the limit": with_fields(("x", "v" * 9000)),
}.items():
    CASES.append((name, stream(data, error=PROTOCOL)))

table({
    "8.1 trailers": ok(BODY, frame(DATA, 0, 1, b"x"), head(1, [("x-sum", "1")]), status=405),
    "8.1.1 length that is right": ok(body_of("5", frame(DATA, END_STREAM, 1, b"12345")), status=405),
    "8.1 empty DATA ends a request": ok(BODY, frame(DATA, END_STREAM, 1), status=405),
    "8.1 HEAD": ok(head(1, [(":method", "HEAD")] + REQUEST[1:])),
    "8.2.2 te: trailers": ok(with_fields(("te", "trailers"))),
    "8.2.3 cookies in pieces": ok(with_fields(("cookie", "a=b"), ("cookie", "c=d"))),
    "8.3.1 Host instead of authority": ok(without(":authority", ("host", "127.0.0.1"))),
    "8.3.1 authority and Host agree": ok(with_fields(("host", "127.0.0.1"))),
    "8.2.1 high bytes in a value": ok(with_fields(("a", "\xe9\xff"))),
    "8.2.1 empty value": ok(with_fields(("a", ""))),
})

# ---- HPACK


def raw_head(*pieces):
    return frame(HEADERS, END_STREAM | END_HEADERS, 1, b"".join(pieces))


HUFFMAN = hpack.huffman.HuffmanEncoder(hpack.huffman_constants.REQUEST_CODES,
                                       hpack.huffman_constants.REQUEST_CODES_LENGTH)
STATIC = b"\x82\x86\x84" + b"\x41" + text("127.0.0.1")  # GET, http, "/", and an authority for the table
PADDED_TOO_FAR = b"\x00" + text("a") + b"\x82" + b"\x1f\xff"  # 'a', 3 bits, and 8 of padding
LONG = b"v" * 1000

table({
    "7541 6.1 static table": ok(raw_head(STATIC)),
    "7541 6.2.1 with indexing": ok(raw_head(STATIC, literal("a", "b", 0x40), b"\xbe")),
    "7541 6.2.2 without indexing": ok(raw_head(STATIC, literal("a", "b", 0x00))),
    "7541 6.2.3 never indexed": ok(raw_head(STATIC, literal("a", "b", 0x10))),
    "7541 6.2 indexed names": ok(raw_head(STATIC, b"\x0f\x2b" + text("curl"), b"\x1f\x01" + text("gzip"))),
    "7541 5.2 Huffman codes": ok(raw_head(
        STATIC, b"\x00" + text("a"), integer(len(HUFFMAN.encode(b"value")), 7, 0x80) + HUFFMAN.encode(b"value"))),
    "7541 2.3.3 index 0": connection(raw_head(STATIC, b"\x80"), error=COMPRESSION),
    "7541 2.3.3 index beyond the table": connection(raw_head(b"\xbe"), error=COMPRESSION),
    "7541 2.3.3 name beyond the table": connection(raw_head(b"\x7f\x20" + text("v")), error=COMPRESSION),
    "7541 4.2 table size 0, then all": ok(raw_head(b"\x20", integer(4096, 5, 0x20), STATIC)),
    "7541 4.2 table size beyond the setting": connection(raw_head(integer(4097, 5, 0x20), STATIC), error=COMPRESSION),
    "7541 4.2 table size behind a field": connection(raw_head(STATIC, b"\x20"), error=COMPRESSION),
    "7541 4.4 eviction": ok(raw_head(STATIC, *[literal("a%d" % i, LONG, 0x40) for i in range(7)])),
    "7541 4.4 evicted entry": connection(
        raw_head(STATIC, *[literal("a%d" % i, LONG, 0x40) for i in range(7)], b"\xc2"), error=COMPRESSION),
    "7541 4.4 entry larger than the table": ok(raw_head(STATIC, literal("a", b"v" * 5000, 0x40))),
    "7541 5.1 integer beyond all": connection(
        raw_head(b"\xff" + b"\xff" * 12 + b"\x01"), error=COMPRESSION),
    "7541 5.1 length beyond the block": connection(raw_head(STATIC, b"\x00\x7f\x80\x80\x01a"), error=COMPRESSION),
    "7541 5.2 padding of 8 bits": connection(raw_head(STATIC, PADDED_TOO_FAR), error=COMPRESSION),
    "7541 5.2 padding of zeros": connection(raw_head(STATIC, b"\x00" + text("a") + b"\x81\x18"), error=COMPRESSION),
    "7541 5.2 end of string": connection(
        raw_head(STATIC, b"\x00" + text("a") + b"\x84\xff\xff\xff\xff"), error=COMPRESSION),
    "10.5.1 bomb": connection(raw_head(STATIC, literal("a", b"v" * 4000, 0x40), b"\xbe" * 2000),
                              error=(CALM, PROTOCOL)),
})


# ---- what takes more than one step

@case("3.4 server's preface is SETTINGS")
def server_preface(peer):
    peer.until(lambda: peer.settings is not None)
    assert peer.settings.get(3, 1 << 32) <= 100, peer.settings
    assert peer.settings.get(2, 0) == 0, peer.settings


@case("3.4 request at once")
def request_at_once(_):
    peer = Peer(PREFACE + settings() + GET)
    peer.answered(1)
    peer.close()


@case("3.4 byte by byte")
def byte_by_byte(_):
    peer = Peer(b"")
    for byte in PREFACE + settings() + GET:
        peer.send(bytes([byte]))
    peer.answered(1)
    peer.close()


def refuses(hello):
    def run(_):
        peer = Peer(hello)
        data = b""
        try:
            while True:
                data += peer.receive(1)
        except Closed:
            pass
        if data[:5] != b"HTTP/":  # an answer of HTTP/1 will do
            peer.input = data
            peer.connection_error(PROTOCOL, FRAME_SIZE)
        peer.close()
    return run


table({
    "3.4 preface that is wrong in the end": refuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\n" + settings()),
    "3.4 PING first": refuses(PREFACE + ping()),
    "3.4 HEADERS first": refuses(PREFACE + GET),
    "3.4 SETTINGS on a stream first": refuses(PREFACE + frame(SETTINGS, 0, 3)),
    "3.4 ACK first": refuses(PREFACE + frame(SETTINGS, ACK)),
})


@case("4.3 the table is shared by all requests")
def table_is_shared(peer):
    peer.send(frame(HEADERS, 5, 1, STATIC + literal("a", "b", 0x40)))
    peer.answered(1)
    peer.send(frame(HEADERS, 5, 3, b"\x82\x86\x84\xbf\xbe"))
    peer.answered(3)


@case("4.3 the block of a refused request counts, too")
def table_of_refused(peer):
    peer.send(frame(HEADERS, 5, 1, STATIC + literal("a", "b", 0x40) + literal("connection", "close")))
    peer.stream_error(1, PROTOCOL)
    if peer.goaway is None:
        peer.send(frame(HEADERS, 5, 2001, b"\x82\x86\x84\xbf\xbe"))
        peer.answered(2001)


@case("5.1.2 streams beyond the maximum")
def too_many_streams(peer):
    peer.until(lambda: peer.settings is not None)
    most = peer.settings.get(3, 100)
    peer.send(STALL)
    peer.barrier()
    for i in range(most):
        peer.send(head(2 * i + 1, BIG_REQUEST))
    peer.barrier(b"all open")
    last = 2 * most + 1
    peer.send(head(last, BIG_REQUEST))
    try:
        peer.until(lambda: last in peer.resets or peer.goaway is not None)
    except Closed:
        return
    assert peer.goaway == PROTOCOL or peer.resets.get(last) in (REFUSED, PROTOCOL), (peer.goaway, peer.resets)


@case("5.1.2 as many streams as allowed")
def many_streams(peer):
    peer.until(lambda: peer.settings is not None)
    most = peer.settings.get(3, 100)
    peer.send(b"".join(head(2 * i + 1) for i in range(most)))
    for i in range(most):
        peer.answered(2 * i + 1)
    peer.alive()


@case("5.4.1 GOAWAY, then the end")
def error_ends_the_connection(peer):
    peer.send(frame(DATA, 0, 0, b"x"))
    peer.connection_error(PROTOCOL)
    assert peer.goaway == PROTOCOL


@case("6.5.3 SETTINGS are acknowledged")
def settings_acknowledged(peer):
    for i in range(5):
        peer.send(settings((4, 65535 + i)))
    peer.until(lambda: peer.settings_acks == 6)


@case("6.5.3 the last of two values holds")
def last_value_holds(peer):
    peer.send(settings((4, 5), (4, 1000)) + head(1, BIG_REQUEST))
    peer.until(lambda: peer.body.get(1) == 1000)
    peer.barrier()
    assert peer.body[1] == 1000


@case("6.7 PING is answered with its bytes")
def ping_is_answered(peer):
    peer.barrier(b"\0\1\2\3\4\5\6\7")


@case("6.7 ACK is not answered")
def ping_ack_is_not_answered(peer):
    peer.send(ping(b"unwanted", ACK))
    peer.send(ping(b"last one"))
    kind = None
    while kind != PING:
        kind, flags, _, data = peer.next()
    assert flags & ACK and data == b"last one"


@case("6.8 GOAWAY lets streams end")
def goaway_lets_streams_end(peer):
    peer.send(STALL + head(1, BIG_REQUEST))
    peer.barrier()
    peer.send(frame(GOAWAY, 0, 0, b"\0" * 8))
    peer.send(window(0, BIG) + window(1, BIG))
    peer.answered(1, body=BIG)
    peer.connection_error(NO_ERROR)


@case("6.9 the window of a stream is kept")
def window_is_kept(peer):
    peer.send(settings((4, 1)) + head(1, BIG_REQUEST))
    peer.until(lambda: peer.body.get(1) == 1)
    peer.barrier()
    assert peer.body[1] == 1
    peer.send(window(1, 10))
    peer.until(lambda: peer.body[1] >= 11)
    peer.barrier(b"barrier2")
    assert peer.body[1] == 11


@case("6.9 the window of the connection is kept")
def connection_window_is_kept(peer):
    peer.send(settings((4, BIG)) + head(1, BIG_REQUEST) + head(3, BIG_REQUEST))
    peer.until(lambda: sum(peer.body.values()) == 65535)
    peer.barrier()
    assert sum(peer.body.values()) == 65535
    peer.send(window(0, 3 * BIG) + window(3, BIG))
    peer.answered(1, body=BIG)
    peer.answered(3, body=BIG)


@case("6.9.2 a window may be negative")
def negative_window(peer):
    peer.send(settings((4, 3)) + head(1, BIG_REQUEST))
    peer.until(lambda: peer.body.get(1) == 3)
    peer.send(settings((4, 2)))
    peer.send(window(1, 1))  # 0 now
    peer.barrier()
    assert peer.body[1] == 3
    peer.send(window(1, 2))
    peer.until(lambda: peer.body[1] == 5)


@case("6.9.2 settings open windows")
def settings_open_windows(peer):
    peer.send(STALL + head(1, BIG_REQUEST))
    peer.until(lambda: 1 in peer.status)
    peer.barrier()
    assert peer.body[1] == 0
    peer.send(settings((4, 100)))
    peer.until(lambda: peer.body[1] == 100)


@case("6.9 a body in the smallest steps")
def dribble(peer):
    peer.send(STALL + head(1, BIG_REQUEST))
    for i in range(50):
        peer.send(window(1, 1))
        peer.until(lambda want=i + 1: peer.body.get(1) == want)


@case("8.1 answers end once")
def answers_end_once(peer):
    peer.send(GET + head(3))
    peer.answered(1)
    peer.answered(3)
    peer.barrier()
    assert not peer.resets and peer.goaway is None


@case("8.1 the rest of a body nobody wants is awaited")
def unwanted_body(peer):
    peer.send(BODY + frame(DATA, 0, 1, b"x" * 1000))
    peer.answered(1, 405)
    peer.barrier()
    peer.send(frame(DATA, END_STREAM, 1, b"too late"))
    peer.alive()
    assert not peer.resets, peer.resets


@case("8.1 but not for ever, and without an error")
def endless_body(peer):
    peer.send(BODY)
    for _ in range(40):
        peer.send(frame(DATA, 0, 1, b"x" * 16384))
        peer.barrier()
        if 1 in peer.resets:
            break
    assert peer.status[1] == 405 and peer.resets.get(1) == NO_ERROR, (peer.status, peer.resets)
    peer.alive()


@case("6.9 windows come back")
def windows_come_back(peer):
    """Many bodies, more than the window of the connection, none of them read by anybody."""
    for i in range(60):
        number = 2 * i + 1
        peer.send(head(number, POST, END_HEADERS) + frame(DATA, 0, number, b"x" * 16384) * 2)
        peer.answered(number, 405)
    peer.alive()


@case("8.1 HEAD has no body")
def head_has_no_body(peer):
    peer.send(head(1, [(":method", "HEAD")] + BIG_REQUEST[1:]))
    peer.answered(1, 200, 0)


@case("5.1 a reset stream sends no more")
def reset_stops(peer):
    peer.send(settings((4, 1000)) + head(1, BIG_REQUEST))
    peer.until(lambda: peer.body.get(1) == 1000)
    peer.send(reset(1) + window(1, 1000))
    peer.barrier()
    assert peer.body[1] == 1000
    peer.alive()


def main():
    failed = 0
    for name, function in CASES:
        peer = None
        try:
            peer = Peer()
            function(peer)
            print("ok   " + name)
        except Exception as error:
            failed += 1
            print("FAIL " + name + ": " + ("closed" if isinstance(error, Closed) else str(error)))
            if not isinstance(error, (AssertionError, Closed)):
                print("     " + traceback.format_exc().strip().replace("\n", "\n     "))
        finally:
            if peer is not None:
                peer.close()
        sys.stdout.flush()
    print("%d passed, %d failed" % (len(CASES) - failed, failed))
    sys.exit(failed > 0)


main()
