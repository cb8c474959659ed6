# SPDX-License-Identifier: Apache-2.0
"""Cases of proxy.py: much at once, slow peers, nginx and TLS."""

import hashlib
import os
import re
import socket
import ssl
import subprocess
import threading
import time

from harness import BUILD, CLIENTS, WORK, Server, ask, case, check, eventually, still
from peers import CLOSE, H1, H2, SECONDS, Upstream, answering

MANY = 64 << 20
MIB = 1 << 20
ALLOWED = 4 * MIB  # that memory may grow
PIECES = 800  # of 64 KiB: more than the buffers of two connections hold


def sanitized():
    with open(os.path.join(BUILD, "zeroserve"), "rb") as program:
        return b"__asan_init" in program.read()


def source_and_drain(peer, _):
    """GET /N: N octets. Anything else: counts what comes."""
    piece = bytes(MIB)
    while True:
        request = peer.request()
        if request is None:
            return
        if request.method == "GET":
            count = int(request.target[1:])
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count)
            for at in range(0, count, MIB):
                peer.send(piece[: min(MIB, count - at)])
        else:
            count = drain(peer, request)
            peer.answer(b"%d" % count)


def drain(peer, request):
    """Counts a body's octets and keeps none."""
    count = len(peer.pending)
    if request.get("transfer-encoding") != "chunked":
        length = int(request.get("content-length"))
        peer.pending = b""
        buffer = bytearray(MIB)
        while count < length:
            got = peer.sock.recv_into(buffer)
            if got == 0:
                break
            count += got
        return count
    count = 0
    while True:
        size = int(peer.until(b"\r\n"), 16)
        peer.exactly(size)
        peer.exactly(2)
        if size == 0:
            return count
        count += size


def curl(*arguments, source=None):
    """source: the file to send without saying its length."""
    with open(source or "/dev/null", "rb") as file:
        return subprocess.run(["curl", "-sS", "-m", "100", *arguments], stdin=file, capture_output=True).stdout


class Watch:
    """The most memory that a server had."""

    def __init__(self, watched):
        self.watched, self.most, self.over = watched, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            self.most = max(self.most, self.watched.resident())
            time.sleep(0.02)

    def stop(self):
        self.over = True
        self.thread.join()
        return self.most


@case
def memory():
    """Bodies of any length take the same little memory; `make soak` sends a GiB of each kind."""
    size = int(os.environ.get("PROXY_BYTES", MANY)) if not sanitized() else 20 * MIB
    url = "http://127.0.0.1:%d" % Server.main.port
    with Upstream(source_and_drain) as upstream:
        for version in ("--http1.1", "--http2-prior-knowledge"):
            to = ["-H", "x-to: " + upstream.url, version]

            def down(count):
                return int(curl(*to, "-o", "/dev/null", "-w", "%{size_download}", "%s/%d" % (url, count)) or 0)

            def up(count, framing):
                zeros = os.path.join(WORK.name, "zeros")
                with open(zeros, "wb") as file:
                    file.truncate(count)
                what, source = (zeros, None) if framing == "length" else ("-", zeros)
                return int(curl(*to, "-H", "expect:", "-T", what, url + "/up", source=source) or 0)

            down(8 * MIB), up(8 * MIB, "length"), up(8 * MIB, "chunks")
            before = Server.main.resident()
            for name, wanted, run in (("down", size, lambda: down(size)), ("up", size, lambda: up(size, "length")),
                                      ("up, of unknown length", size, lambda: up(size, "chunks"))):
                watch = Watch(Server.main)
                begin = time.monotonic()
                count = run()
                seconds = time.monotonic() - begin
                growth = watch.stop() - before
                check("%s: %d MiB %s" % (version[2:], wanted // MIB, name), count, wanted)
                if not sanitized():
                    check("%s: memory is flat on the way %s" % (version[2:], name), growth < ALLOWED or growth, True)
                print("     grew by %d KiB, %d MiB/s" % (growth // 1024, wanted / MIB / seconds))


@case
def back_pressure():
    """Who is slow is waited for, and what is in hand stays little."""
    sent = [0]
    octets = os.urandom(65536)

    def serve(peer, _):
        request = peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"10000\r\n" + octets + b"\r\n"
        for _ in range(PIECES):
            peer.send(piece)
            sent[0] += 65536
        peer.send(b"0\r\n\r\n")

    with Upstream(serve) as upstream:
        for client in CLIENTS:
            sent[0] = 0
            peer = client(Server.main.port)
            peer.start(fields=[("x-to", upstream.url)])
            before = Server.main.resident()
            check(client.name + ": an upstream waits for a client that does not read", still(lambda: sent[0]) < PIECES * 65536, True)
            if not sanitized():
                check(client.name + ": its octets are not in our memory", Server.main.resident() - before < ALLOWED, True)
            got = peer.response()
            check(client.name + ": then all of it comes", (got.body == octets * PIECES, got.end), (True, "complete"))
            peer.close()

    go = threading.Event()

    def slow(peer, _):
        request = peer.request()
        go.wait(SECONDS)
        peer.answer(b"%d" % drain(peer, request), fields=CLOSE)

    with Upstream(slow) as upstream:
        for client in CLIENTS:
            go.clear()
            peer = client(Server.main.port)
            pushed = [0]
            size = 40 * MIB

            def push():
                peer.start("POST", "/", [("x-to", upstream.url)], b"", size)
                for _ in range(size // 65536):
                    peer.data(bytes(65536))
                    pushed[0] += 65536
                if client is H2:
                    peer.data(b"", True)

            before = Server.main.resident()
            thread = threading.Thread(target=push, daemon=True)
            thread.start()
            check(client.name + ": a client waits for an upstream that does not read", still(lambda: pushed[0]) < size, True)
            if not sanitized():
                check(client.name + ": its octets are not in our memory", Server.main.resident() - before < ALLOWED, True)
            go.set()
            thread.join(SECONDS)
            check(client.name + ": then the upstream has all of it", peer.response().brief(),
                  (200, b"%d" % size, "complete"))
            peer.close()


@case
def begun():
    """What has come of an answer is passed on, wherever it was cut: there may be nothing more for long."""
    octets = os.urandom(200000)
    go = threading.Event()

    def serve(peer, _):
        request = peer.request()
        _, framing, first = request.target.split("/")
        first = int(first)
        if framing == "length":
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(octets) + octets[:first])
            go.wait(SECONDS)
            peer.send(octets[first:])
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (first, octets[:first]))
            go.wait(SECONDS)
            peer.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(octets) - first, octets[first:]))

    with Upstream(serve) as tcp, Upstream(serve, path=os.path.join(WORK.name, "begun.sock")) as local:
        for kind, upstream in (("TCP", tcp), ("a Unix socket", local)):
            for framing in ("length", "chunks"):
                # 1 KiB is received first: the heads have 43 and 49 octets, a chunk's 5 and 2.
                for first in (1, 968, 969, 980, 981, 982, 2000, 9000, 70000, 150000):
                    go.clear()
                    peer = H1(Server.main.port)
                    peer.start(path="/%s/%d" % (framing, first), fields=[("x-to", upstream.url)])
                    peer.until(b"\r\n\r\n")
                    title = "%s, %s: the first %d octets " % (kind, framing, first)
                    came = peer.exactly(first) if framing == "length" else pieces(peer.pending)
                    while len(came) < first and peer.more():
                        came = pieces(peer.pending)
                    check(title + "come at once", came == octets[:first], True)
                    go.set()
                    rest = peer.exactly(len(octets) - first) if framing == "length" else peer.chunks()[0]
                    all_of_it = came + rest if framing == "length" else rest
                    check(title + "are followed by the others", all_of_it == octets, True)
                    peer.close()


def pieces(framed):
    """What is here of a body in chunks."""
    content = b""
    while b"\r\n" in framed:
        size, framed = framed.split(b"\r\n", 1)
        content += framed[:int(size, 16)]
        framed = framed[int(size, 16) + 2:]
    return content


NGINX = """
daemon off;
user root;
worker_processes 1;
pid %(dir)s/nginx.pid;
error_log %(dir)s/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    keepalive_timeout 60;
    server {
        listen unix:%(dir)s/plain.sock;
        listen 127.0.0.1:%(plain)d;
        listen 127.0.0.1:%(tls)d ssl;
        ssl_certificate %(dir)s/cert.pem;
        ssl_certificate_key %(dir)s/key.pem;
        client_max_body_size 100m;
        root %(dir)s/files;
        location /who { return 200 "$scheme $http_x_forwarded_for $connection"; }
        location /put { proxy_pass http://unix:%(dir)s/echo.sock; proxy_request_buffering off; }
        location /compressed { gzip on; gzip_proxied any; gzip_types *; gzip_min_length 1; alias %(dir)s/files; }
        location /slow { limit_rate 200k; alias %(dir)s/files/; }
    }
}
"""


class Nginx:
    def __init__(self):
        self.dir = os.path.join(WORK.name, "nginx")
        os.makedirs(os.path.join(self.dir, "files"))
        self.content = os.urandom(3 * MIB)
        with open(os.path.join(self.dir, "files", "file"), "wb") as file:
            file.write(self.content)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost", "-keyout",
                        self.dir + "/key.pem", "-out", self.dir + "/cert.pem"], check=True, capture_output=True)
        for _ in range(5):  # a port may be taken in between
            self.plain, self.tls = self.port(), self.port()
            with open(self.dir + "/conf", "w") as conf:
                conf.write(NGINX % {"dir": self.dir, "plain": self.plain, "tls": self.tls})
            self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", self.dir, "-c", self.dir + "/conf", "-e",
                                             self.dir + "/error.log"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if eventually(lambda: self.process.poll() is not None or os.path.exists(self.dir + "/nginx.pid")) and \
                    self.process.poll() is None:
                break

    @staticmethod
    def port():
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return sock.getsockname()[1]

    def stop(self):
        self.process.terminate()
        self.process.wait(SECONDS)


@case
def nginx():
    """nginx as an upstream: plain, by a socket, with TLS."""
    peer = Nginx()
    own = Server(env={"SSL_CERT_FILE": peer.dir + "/cert.pem"})
    digest = hashlib.sha256(peer.content).hexdigest()

    def echo(up, request, body):
        up.answer(hashlib.sha256(body).hexdigest().encode())

    with Upstream(answering(echo), path=peer.dir + "/echo.sock"):
        for name, url in (("plain", "http://127.0.0.1:%d" % peer.plain), ("socket", "unix/%s/plain.sock" % peer.dir),
                          ("TLS", "https://localhost:%d" % peer.tls)):
            for client in CLIENTS:
                title = "%s, nginx, %s: " % (client.name, name)
                got = ask(client, url, path="/file", port=own.port)
                check(title + "a file", (got.status, hashlib.sha256(got.body).hexdigest(), got.end),
                      (200, digest, "complete"))
                got = ask(client, url, path="/file", fields=[("range", "bytes=5-14")], port=own.port)
                check(title + "a range", (got.status, got.body, got.get("content-range")),
                      (206, peer.content[5:15], "bytes 5-14/%d" % (3 * MIB)))
                etag = got.get("etag")
                got = ask(client, url, path="/file", fields=[("if-none-match", etag)], port=own.port)
                check(title + "304", got.brief(), (304, b"", "complete"))
                got = ask(client, url, "HEAD", "/file", port=own.port)
                check(title + "HEAD", (got.brief(), got.get("content-length")), ((200, b"", "complete"), str(3 * MIB)))
                got = ask(client, url, path="/compressed/file", fields=[("accept-encoding", "gzip")], port=own.port)
                check(title + "compressed, in chunks", (got.status, got.get("content-encoding"), got.end),
                      (200, "gzip", "complete"))
                check(title + "404", ask(client, url, path="/none", port=own.port).status, 404)
                got = ask(client, url, "PUT", "/put", body=peer.content, port=own.port)
                check(title + "an upload", got.brief(), (200, digest.encode(), "complete"))
                same = client(own.port)
                numbers = set()
                for _ in range(5):
                    same.start(path="/who", fields=[("x-to", url)])
                    numbers.add(same.response().body)
                same.close()
                check(title + "one connection for five requests", len(numbers), 1)
        tls = "https://localhost:%d" % peer.tls
        got = ask(H1, "https://127.0.0.1:%d" % peer.tls, path="/file", port=own.port)
        check("a certificate for another host", got.status, 502)
        check("is told in the log", eventually(lambda: "certificate verify failed" in own.text()), True)
        check("an authority that is not trusted", ask(H1, tls, path="/file").status, 502)
        check("plain where TLS is expected", ask(H1, "https://localhost:%d" % peer.plain, path="/", port=own.port).status, 502)
        check("TLS where plain is expected", ask(H1, "http://localhost:%d" % peer.tls, path="/", port=own.port).status, 400)
        # Kept connections of the old snapshot, one request in the middle.
        slow = H1(own.port)
        slow.start(path="/slow/file", fields=[("x-to", tls)])
        slow.until(b"\r\n\r\n")
        for _ in range(3):
            own.process.send_signal(1)
            time.sleep(0.1)
            for client in CLIENTS:
                check(client.name + ": TLS after a reload", ask(client, tls, path="/file", port=own.port).status, 200)
        slow.close()
    truncation(peer)
    secure(peer)
    check("the server of nginx's clients ends well", own.stop(), 0)
    peer.stop()


def truncation(files):
    """An end without close_notify is not the end of an answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.dir + "/cert.pem", files.dir + "/key.pem")
    context.suppress_ragged_eofs = False
    polite = [True]

    def serve(peer, _):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
        time.sleep(0.1)
        if polite[0]:
            peer.sock.unwrap()
        else:
            os.close(peer.sock.detach())

    own = Server(env={"SSL_CERT_FILE": files.dir + "/cert.pem"})
    with Upstream(serve, context=context) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        for client in CLIENTS:
            for way in (True, False):
                polite[0] = way
                got = ask(client, url, port=own.port)
                check("%s: TLS ends %s" % (client.name, "well" if way else "without a word"),
                      (got.status, got.end == "complete"), (200, way))
    check("and its server ends well", own.stop(), 0)


def secure(files):
    """TLS on both sides: bodies, and a tunnel with an end on each side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.dir + "/cert.pem", files.dir + "/key.pem")
    ends = []

    def serve(peer, _):
        request = peer.request()
        if request.get("upgrade"):
            peer.send(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while peer.more():
                data, peer.pending = peer.pending, b""
                peer.send(data)
            ends.append("end")
            return
        body = peer.body(request)
        if request.target == "/chunks":
            peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        else:
            peer.answer(body, fields=CLOSE)

    own = Server("--tls-addr", "127.0.0.1:0", "--cert", files.dir + "/cert.pem", "--key", files.dir + "/key.pem",
                 env={"SSL_CERT_FILE": files.dir + "/cert.pem"})
    port = int(re.search(r"https://127\.0\.0\.1:(\d+)", own.text()).group(1))
    with Upstream(serve, context=context) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        for client in CLIENTS:
            trust = ssl.create_default_context(cafile=files.dir + "/cert.pem")
            trust.set_alpn_protocols(["h2"] if client is H2 else ["http/1.1"])
            body = os.urandom(700000)
            for path in ("/length", "/chunks"):
                peer = client(port, trust)
                peer.start("POST", path, [("x-to", url)], body)
                got = peer.response()
                peer.close()
                check("%s: TLS on both sides, %s" % (client.name, path[1:]), (got.status, got.body == body, got.end),
                      (200, True, "complete"))
        trust = ssl.create_default_context(cafile=files.dir + "/cert.pem")
        peer = H1(port, trust)
        peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-To: %s\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n" %
                  url.encode())
        peer.until(b"\r\n\r\n")
        data = os.urandom(50000)
        peer.send(data)
        check("a tunnel with TLS on both sides", peer.exactly(len(data)) == data, True)
        peer.close()
        check("its end reaches the upstream", eventually(lambda: ends == ["end"]), True)
    check("and its server ends well", own.stop(), 0)


@case
def descriptors():
    """Nothing is left of many requests of all kinds."""
    def serve(peer, _):
        for number in range(50):
            request = peer.request()
            if request is None:
                return
            kind = int(request.target[1:]) % 5
            if kind == 0:
                return
            if kind == 1:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
                return
            if kind == 2:
                peer.send(b"nonsense")
                return
            peer.answer(b"hello")

    count = int(os.environ.get("PROXY_REQUESTS", 1000))
    before = Server.main.descriptors()
    with Upstream(serve) as upstream:
        for client in CLIENTS:
            peer = client(Server.main.port)
            for number in range(count):
                peer.start(path="/%d" % number, fields=[("x-to", upstream.url)])
                got = peer.response()
                if (got.end != "complete" and client is H1) or number % 500 == 499:
                    peer.close()
                    peer = client(Server.main.port)
            peer.close()
    check("as many descriptors as before, but for kept ones", eventually(lambda: Server.main.descriptors() <= before + 2),
          True)
