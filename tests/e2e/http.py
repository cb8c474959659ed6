# SPDX-License-Identifier: Apache-2.0
"""HTTP/1 as clients see it: real sockets against the real server, one server for most cases.

Prints a line for each case and `N passed, N failed` at the end. Only the standard library is used.
usage: http.py BUILD_FOLDER
"""

import hashlib
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback

BUILD = os.path.abspath(sys.argv[1])
WORK = tempfile.TemporaryDirectory()
SMALL = b"a small file\n"
random.seed(1)
BIG = random.randbytes(12 << 20)
KEPT = random.randbytes(100 << 10)  # small enough to be sent from memory
CASES = []


def case(function):
    CASES.append(function)
    return function


class Server:
    """A server of its own with one small and one big file."""

    def __init__(self, *flags, name="site", descriptors=None):
        self.tar = os.path.join(WORK.name, name + ".tar")
        self.log = open(os.path.join(WORK.name, name + ".log"), "w+b")
        self.write_tar()
        command = [os.path.join(BUILD, "zeroserve"), "--addr", "127.0.0.1:0", *flags, self.tar]
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) \
            if descriptors else None
        self.process = subprocess.Popen(command, stderr=self.log, preexec_fn=limit)
        self.port = self.wait_for_port()

    def write_tar(self):
        files = {"index.html": b"home\n", "small.txt": SMALL, "kept.bin": KEPT, "big.bin": BIG}
        for name, data in files.items():
            with open(os.path.join(WORK.name, name), "wb") as file:
                file.write(data)
        with tarfile.open(self.tar, "w") as tar:
            for name in files:
                tar.add(os.path.join(WORK.name, name), name)

    def output(self):
        self.log.flush()
        with open(self.log.name, "rb") as log:
            return log.read().decode("utf-8", "replace")

    def wait_for(self, pattern):
        """Lines of the log come a moment after what they tell."""
        for _ in range(400):
            found = re.search(pattern, self.output())
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("no line like " + pattern + ": " + self.output())

    def wait_for_port(self):
        found = self.wait_for(r"listening on http://127\.0\.0\.1:(\d+) \(\d+ worker")
        return int(found.group(1))

    def connect(self, receive_bytes=None):
        client = socket.socket()
        if receive_bytes:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(20)
        client.connect(("127.0.0.1", self.port))
        return client

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)


class Answers:
    """Reads answers from a socket, checking their framing."""

    def __init__(self, client):
        self.client = client
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.data = bytearray()

    def more(self):
        piece = self.client.recv(1 << 16)
        self.data += piece
        return len(piece) > 0

    def take(self, length):
        piece = bytes(self.data[:length])
        del self.data[:length]
        return piece

    def next(self, method="GET"):
        while b"\r\n\r\n" not in self.data:
            assert self.more(), "end of connection inside a head: %r" % self.data[:100]
        head = self.take(self.data.index(b"\r\n\r\n") + 4)[:-4]
        lines = head.decode("latin-1").split("\r\n")
        version, status = lines[0].split(" ")[:2]
        assert version == "HTTP/1.1", lines[0]
        fields = dict((n.lower(), v.strip()) for n, v in (f.split(":", 1) for f in lines[1:]))
        length = int(fields.get("content-length", 0))
        if method == "HEAD" or status in ("204", "304"):
            length = 0
        while len(self.data) < length:
            assert self.more(), "end of connection inside a body: %d of %d bytes" % (
                len(self.data), length)
        return int(status), fields, self.take(length)

    def at_end(self):
        """Nothing more comes, and the server closed."""
        try:
            while self.more():
                pass
        except ConnectionResetError:
            pass
        return len(self.data) == 0


def get(path, *fields, version="1.1", method="GET"):
    lines = ["%s %s HTTP/%s" % (method, path, version), "Host: test", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


GOOD = get("/small.txt")


# ---- what is refused

REFUSED = [
    # status(es), what, bytes
    ([400], "two Content-Length", get("/", "Content-Length: 1", "Content-Length: 1")),
    ([400], "Content-Length +1", get("/", "Content-Length: +1")),
    ([400], "Content-Length -1", get("/", "Content-Length: -1")),
    ([400], "Content-Length with a space", get("/", "Content-Length: 1 1")),
    ([400], "empty Content-Length", get("/", "Content-Length:")),
    ([400], "Content-Length list", get("/", "Content-Length: 1, 1")),
    ([400], "huge Content-Length", get("/", "Content-Length: 9223372036854775808")),
    ([400], "Content-Length and Transfer-Encoding",
     get("/", "Content-Length: 1", "Transfer-Encoding: chunked")),
    ([400, 501], "two Transfer-Encoding",
     get("/", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    ([400, 501], "chunked twice", get("/", "Transfer-Encoding: chunked, chunked")),
    ([400, 501], "identity", get("/", "Transfer-Encoding: identity")),
    ([400, 501], "xchunked", get("/", "Transfer-Encoding: xchunked")),
    ([400, 501], "chunked not last", get("/", "Transfer-Encoding: chunked, gzip")),
    ([400, 501], "Transfer-Encoding in 1.0",
     get("/", "Transfer-Encoding: chunked", version="1.0")),
    ([400], "bare LF in the head", b"GET / HTTP/1.1\nHost: test\n\n"),
    ([400], "bare CR in the head", b"GET / HTTP/1.1\r\nHost: te\rst\r\n\r\n"),
    ([400], "NUL in a value", b"GET / HTTP/1.1\r\nHost: test\r\nA: b\0c\r\n\r\n"),
    ([400], "control in a value", b"GET / HTTP/1.1\r\nHost: test\r\nA: b\x01c\r\n\r\n"),
    ([400], "space before the colon", get("/", "A : b")),
    ([400], "folded line", b"GET / HTTP/1.1\r\nHost: test\r\nA: b\r\n c\r\n\r\n"),
    ([400], "empty field name", get("/", ": b")),
    ([400], "space after the request line", b"GET / HTTP/1.1\r\n Host: test\r\n\r\n"),
    ([400], "no Host", b"GET / HTTP/1.1\r\n\r\n"),
    ([400], "two Hosts", get("/", "Host: other")),
    ([400], "Host with userinfo", b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    ([400], "Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ([400], "method not a token", b"G{T / HTTP/1.1\r\nHost: test\r\n\r\n"),
    ([400], "target without slash", b"GET small.txt HTTP/1.1\r\nHost: test\r\n\r\n"),
    ([400], "two spaces", b"GET  / HTTP/1.1\r\nHost: test\r\n\r\n"),
    ([400, 505], "HTTP/2.0", get("/", version="2.0")),
    ([400, 505], "HTTP/1.2", get("/", version="1.2")),
    ([400], "HTTP/1.10", get("/", version="1.10")),
    ([417], "Expect", get("/", "Expect: something")),
    ([414], "long request line", get("/" + "a" * 20000)),
    ([431], "long field", get("/", "A: " + "b" * 10000)),
    ([431], "large head", get("/", *["A%d: %s" % (i, "b" * 1000) for i in range(60)])),
    ([431], "many fields", get("/", *["A%d: b" % i for i in range(120)])),
    ([400], "path above the root", get("/../small.txt")),
    ([400], "encoded slash", get("/a%2fb")),
    ([400], "encoded NUL", get("/a%00b")),
    ([400], "malformed escape", get("/%zz")),
]


def check_refused(server, what, statuses, data):
    """`data` behind a good request and before another: the first alone is served."""
    client = server.connect()
    answers = Answers(client)
    client.sendall(GOOD + data + GOOD)
    assert answers.next()[2] == SMALL, what
    status, fields, _ = answers.next()
    assert status in statuses, "%s: %d" % (what, status)
    assert "date" in fields and fields.get("connection") == "close", what
    assert answers.at_end(), what + ": answered after the error: %r" % answers.data[:80]
    client.close()


@case
def malformed_requests_are_refused_and_nothing_after(server):
    for statuses, what, data in REFUSED:
        check_refused(server, what, statuses, data)


@case
def malformed_chunks_close(server):
    for chunks in (b"\r\n", b"+1\r\na\r\n0\r\n\r\n", b"0x1\r\na\r\n0\r\n\r\n", b"1 \r\na\r\n0\r\n\r\n",
                   b"11111111111111111\r\n", b"1\na\r\n0\r\n\r\n", b"1\r\nab0\r\n\r\n",
                   b"1\r\na\n0\r\n\r\n", b"-1\r\n", b"g\r\n"):
        client = server.connect()
        answers = Answers(client)
        client.sendall(get("/small.txt", "Transfer-Encoding: chunked") + chunks + GOOD)
        assert answers.next()[0] == 200
        assert answers.at_end(), "%r: %r" % (chunks, answers.data[:80])
        client.close()


@case
def odd_splits(server):
    """Requests in pieces of every size, the malformed ones too."""
    data = get("/small.txt", "A: b") + get("/", "Transfer-Encoding: chunked") + \
        b"5;x=y\r\nhello\r\n0\r\nTrailer: t\r\n\r\n" + get("/big.bin", method="HEAD")
    for size in (1, 2, 3, 7, 50):
        client = server.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(data), size):
            client.sendall(data[i:i + size])
            time.sleep(0.0005)
        answers = Answers(client)
        assert answers.next()[2] == SMALL
        assert answers.next()[2] == b"home\n"
        assert answers.next("HEAD")[1]["content-length"] == str(len(BIG))
        client.sendall(b"GET / HTTP/1.1\r\nHost : te")
        time.sleep(0.01)
        client.sendall(b"st\r\n\r\n" + GOOD)
        assert answers.next()[0] == 400
        assert answers.at_end()
        client.close()


# ---- connections that go on, and those that do not

@case
def pipelining(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(b"".join(get("/small.txt" if i % 3 else "/") for i in range(1000)))
    for i in range(1000):
        status, _, body = answers.next()
        assert status == 200 and body == (SMALL if i % 3 else b"home\n"), i
    client.close()


@case
def pipelining_flood_is_bounded(server):
    """A client that sends and does not read is stopped, and later gets all its answers."""
    client = server.connect(4096)
    request = get("/big.bin", "Range: bytes=0-99999")
    client.setblocking(False)
    sent = 0
    data = request * 400000
    end = time.monotonic() + 5
    idle = 0
    while sent < len(data) and idle < 20 and time.monotonic() < end:
        try:
            sent += client.send(data[sent:sent + 65536])
            idle = 0
        except BlockingIOError:
            idle += 1
            time.sleep(0.02)
    assert sent < len(data), "the server reads without end"
    client.close()


@case
def bodies_nobody_wants(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(get("/small.txt", "Content-Length: 100000") + b"x" * 100000 + GOOD)
    assert answers.next()[0] == 200
    assert answers.next()[2] == SMALL
    client.sendall(get("/small.txt", "Transfer-Encoding: chunked"))
    assert answers.next()[0] == 200
    for _ in range(10):
        client.sendall(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    client.sendall(b"0\r\n\r\n" + GOOD)
    assert answers.next()[2] == SMALL
    client.close()


@case
def large_bodies_close_after_the_answer(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(get("/small.txt", "Content-Length: 100000000"))
    assert answers.next()[1]["connection"] == "close"
    try:
        for _ in range(100):
            client.sendall(b"x" * 65536)
        assert answers.at_end()
    except (BrokenPipeError, ConnectionResetError):
        pass
    client.close()


@case
def expect_continue(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(get("/small.txt", "Content-Length: 5", "Expect: 100-continue"))
    status, fields, body = answers.next()
    assert status == 200 and body == SMALL and fields["connection"] == "close"
    client.shutdown(socket.SHUT_WR)
    assert answers.at_end()
    client.close()


@case
def connection_close_and_http_1_0(server):
    for request in (get("/small.txt", "Connection: close"), get("/small.txt", version="1.0")):
        client = server.connect()
        answers = Answers(client)
        client.sendall(request + GOOD)
        _, fields, body = answers.next()
        assert body == SMALL and fields["connection"] == "close"
        assert answers.at_end()
        client.close()
    client = server.connect()
    answers = Answers(client)
    for _ in range(2):
        client.sendall(get("/small.txt", "Connection: keep-alive", version="1.0"))
        _, fields, body = answers.next()
        assert body == SMALL and fields["connection"] == "keep-alive"
    client.close()


@case
def half_closed_client_is_answered(server):
    client = server.connect()
    client.sendall(GOOD + GOOD)
    client.shutdown(socket.SHUT_WR)
    answers = Answers(client)
    assert answers.next()[2] == SMALL and answers.next()[2] == SMALL
    assert answers.at_end()
    client.close()


@case
def head_has_no_body(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(get("/big.bin", method="HEAD") + get("/none", method="HEAD") + GOOD)
    assert answers.next("HEAD")[1]["content-length"] == str(len(BIG))
    assert answers.next("HEAD")[0] == 404
    assert answers.next()[2] == SMALL
    client.close()


# ---- bodies

@case
def large_file(server):
    client = server.connect()
    answers = Answers(client)
    client.sendall(get("/big.bin") + GOOD)
    assert hashlib.sha256(answers.next()[2]).digest() == hashlib.sha256(BIG).digest()
    assert answers.next()[2] == SMALL
    client.close()


@case
def slow_reader(server):
    """Others are served meanwhile, and the slow one gets every byte in the end."""
    client = server.connect(4096)
    client.sendall(get("/big.bin"))
    for _ in range(20):
        time.sleep(0.02)
        other = server.connect()
        other.sendall(GOOD)
        assert Answers(other).next()[2] == SMALL
        other.close()
    assert Answers(client).next()[2] == BIG
    client.close()


@case
def files_from_memory(server):
    """Pipelined with others and read slowly: the bytes of each answer follow its head. Again on the same connection."""
    client = server.connect(receive_bytes=4096)
    answers = Answers(client)
    client.sendall(get("/kept.bin"))
    assert answers.next()[2] == KEPT
    for _ in range(2):
        part = get("/kept.bin", "Range: bytes=50000-99999")
        client.sendall((get("/kept.bin") + GOOD + get("/kept.bin", method="HEAD") + part) * 8)
        time.sleep(0.1)
        for _ in range(8):
            assert answers.next()[2] == KEPT
            assert answers.next()[2] == SMALL
            assert answers.next("HEAD")[1]["content-length"] == str(len(KEPT))
            assert answers.next()[2] == KEPT[50000:100000]
    client.sendall(get("/kept.bin", version="1.0"))
    assert answers.next()[2] == KEPT and answers.at_end()
    for reset in (False, True):
        client = server.connect(receive_bytes=4096)
        client.sendall(get("/kept.bin") * 4)
        client.recv(1000)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


@case
def clients_that_leave(server):
    """In the middle of a body, by FIN and by reset, and inside a head."""
    for i in range(60):
        client = server.connect(4096)
        client.sendall(get("/big.bin") if i % 3 else b"GET / HT")
        if i % 3:
            client.recv(1000)
        if i % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    client = server.connect()
    client.sendall(GOOD)
    assert Answers(client).next()[2] == SMALL
    client.close()


@case
def many_connections(server):
    clients = [server.connect() for _ in range(1000)]
    for client in clients:
        client.sendall(GOOD)
    for client in clients:
        assert Answers(client).next()[2] == SMALL
    for client in clients:
        client.sendall(get("/"))
    for client in clients:
        assert Answers(client).next()[2] == b"home\n"
        client.close()


@case
def access_log(server):
    client = server.connect()
    client.sendall(get('/odd"\\', "Connection: close"))
    Answers(client).at_end()
    client.close()
    server.wait_for("/odd|\"\" 400")
    lines = [line for line in server.output().split("\n") if "/odd" in line]
    pattern = r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 127\.0\.0\.1:\d+ ' \
              r'"GET /odd\\x22\\x5c HTTP/1\.1" 40[04] \d+ \d+$'
    bad = [line for line in lines if not re.match(pattern, line)]
    assert (lines and not bad) or '"" 400' in server.output(), lines


# ---- servers of their own

@case
def tar_cut_while_served(_):
    server = Server(name="cut")
    client = server.connect(4096)
    client.sendall(get("/big.bin"))
    client.recv(1000)
    os.truncate(server.tar, 1 << 20)
    answers = Answers(client)
    while answers.more():
        pass
    assert len(answers.data) < len(BIG)
    other = server.connect()
    other.sendall(GOOD)
    assert Answers(other).next()[2] == SMALL
    server.wait_for("shorter")
    assert server.stop() == 0
    client.close()


@case
def sigterm_finishes_what_runs(_):
    server = Server(name="drain")
    idle = server.connect()
    idle.sendall(GOOD)
    assert Answers(idle).next()[2] == SMALL
    client = server.connect(4096)
    client.sendall(get("/big.bin"))
    answers = Answers(client)
    answers.more()
    server.process.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b"", "an idle connection is closed"
    time.sleep(0.2)
    try:
        late = server.connect()
        assert False, "accepted after SIGTERM"
    except ConnectionRefusedError:
        pass
    assert answers.next()[2] == BIG
    assert answers.at_end()
    client.close()
    assert server.process.wait(5) == 0


@case
def drain_timeout_ends_the_rest(_):
    server = Server("--drain-timeout", "1", name="timeout")
    client = server.connect(4096)
    client.sendall(get("/big.bin"))
    client.recv(100)
    start = time.monotonic()
    assert server.stop() == 0
    assert 0.5 < time.monotonic() - start < 4
    client.close()


@case
def second_signal_ends_at_once(_):
    server = Server(name="second")
    client = server.connect(4096)
    client.sendall(get("/big.bin"))
    client.recv(100)
    server.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(2) != 0
    client.close()


@case
def all_workers_listen(_):
    server = Server("--threads", "3", "--disable-request-logging", name="threads")
    for _ in range(50):
        client = server.connect()
        client.sendall(GOOD)
        assert Answers(client).next()[2] == SMALL
        client.close()
    assert "(3 worker thread(s))" in server.output()
    assert '"GET' not in server.output()
    assert server.stop() == 0


@case
def new_clients_displace_idle_ones(_):
    """With descriptors for few: the newest client is served, one that is served is not cut off."""
    server = Server("--threads", "1", name="few", descriptors=48)
    busy = server.connect(4096)
    busy.sendall(get("/big.bin"))
    clients = []
    for _ in range(150):
        client = server.connect()
        client.sendall(GOOD)
        assert Answers(client).next()[2] == SMALL
        clients.append(client)
    assert Answers(busy).next()[2] == BIG
    for client in clients:
        client.close()
    assert server.stop() == 0


@case
def clients_are_turned_away_when_all_are_busy(_):
    server = Server("--threads", "1", name="busy", descriptors=48)
    clients = []
    for _ in range(100):
        client = server.connect(4096)
        client.sendall(get("/big.bin"))
        clients.append(client)
    served = 0
    for client in clients:
        try:
            served += Answers(client).next()[2] == BIG
        except (AssertionError, ConnectionResetError):
            pass
        client.close()
    assert 10 < served < 100, served
    client = server.connect()
    client.sendall(GOOD)
    assert Answers(client).next()[2] == SMALL
    client.close()
    assert server.stop() == 0


@case
def addresses_that_do_not_work(server):
    for address, words in (("127.0.0.1:%d" % server.port, "Address already in use"),
                           ("192.0.2.1:0", "Cannot assign"), ("fd:77", "no such descriptor"),
                           ("here:80", "want IP:PORT"), ("127.0.0.1:65536", "want IP:PORT"),
                           ("127.0.0.1", "want IP:PORT")):
        command = [os.path.join(BUILD, "zeroserve"), "--addr", address, server.tar]
        result = subprocess.run(command, capture_output=True, timeout=10)
        lines = [line for line in result.stderr.decode().split("\n") if line.startswith("zeroserve:")]
        assert result.returncode in (1, 2), address
        assert len(lines) == 1 and words in lines[0] and address in lines[0], lines


@case
def the_server_ends_clean(server):
    """Last: with ASan this is where leaks show."""
    assert server.stop() == 0, server.output()[-2000:]


def main():
    server = Server()
    failed = 0
    for function in CASES:
        try:
            function(server)
            print("ok   " + function.__name__)
        except Exception:
            failed += 1
            print("FAIL " + function.__name__)
            print("     " + traceback.format_exc().strip().replace("\n", "\n     "))
        sys.stdout.flush()
    if server.process.poll() is None:
        server.process.kill()
    print("%d passed, %d failed" % (len(CASES) - failed, failed))
    sys.exit(failed > 0)


main()
