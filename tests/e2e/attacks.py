# SPDX-License-Identifier: Apache-2.0
"""Hostile clients of HTTP/1 and TLS, hostile tars, and an environment that fails: each costs little, and an honest
client beside it is served. HTTP/2 has attacks_h2.py.

Prints a line for each case and `N passed, N failed` at the end. Needs openssl(1).
usage: attacks.py BUILD_FOLDER [CASE...]
"""

import errno
import io
import os
import signal
import subprocess
import sys
import tarfile
import time

from attack_base import *


def expect_ended(clients, seconds, at_least=0.0):
    """All connections end within the time; the last one not before at_least."""
    start = time.monotonic()
    left = list(clients)
    while left and time.monotonic() - start < seconds:
        left = [c for c in left if is_open(c)]
        time.sleep(0.02)
    assert not left, "%d of %d are still open" % (len(left), len(clients))
    assert time.monotonic() - start >= at_least, "ended early"


# ---- slow and idle clients ----

@case(honest=True)
def slow_headers(server):
    clients = [server.connect(b"GET / HTTP/1.1\r\nHost: a\r\nx: ") for _ in range(200)]
    start = time.monotonic()
    while time.monotonic() - start < HEADER - 1:  # a byte now and then does not help
        for client in clients:
            send(client, b"x")
        time.sleep(0.2)
    assert all(drain(c).startswith(b"HTTP/1.1 408 ") for c in clients)
    assert time.monotonic() - start >= HEADER - 0.5
    close_all(clients)


@case(honest=True, memory=32)
def slow_bodies(server):
    """More than scripts have arenas."""
    data = request("/body", "Content-Length: 1000", method="POST") + b"x"
    clients = [server.connect(data) for _ in range(400)]
    answers = [drain(c) for c in clients]
    assert all(a is not None and a[9:12] in (b"408", b"503") for a in answers), {a[:12] for a in answers if a}
    close_all(clients)


@case(honest=True)
def slow_readers(server):
    clients = [server.connect(request("/big.bin"), buffer=4096) for _ in range(50)]
    time.sleep(SEND * 1.3 + 1)
    assert wait_for(lambda: all(client_was_reset(c) for c in clients)), "still served"
    close_all(clients)


def client_was_reset(client):
    """The server has given it up, with a reset: nothing waits in the kernel for it."""
    return client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET or not tcp_established(client)


def tcp_established(client):
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1


@case(honest=True)
def idle_connections(server):
    """Plain ones that were answered, ones that never say anything, and HTTP/2."""
    clients = []
    for i in range(900):
        clients.append(server.connect(request() if i % 3 == 0 else b""))
    clients += [h2_connect(server) for _ in range(300)]
    expect_ended(clients, SECONDS)
    close_all(clients)


@case(honest=True)
def lingering(server):
    """Whose request was refused may not go on sending for ever."""
    clients = [server.connect(b"BAD\r\n\r\n") for _ in range(20)]
    start = time.monotonic()
    open_ = list(clients)
    while open_ and time.monotonic() - start < SECONDS:
        open_ = [c for c in open_ if send(c, b"x" * 100)]
        time.sleep(0.3)
    assert not open_ and time.monotonic() - start > 1.5
    close_all(clients)


@case(honest=True)
def left_alone_scripts(server):
    """Clients leave while their scripts are busy."""
    for _ in range(5):
        clients = [server.connect(request("/spin")) for _ in range(10)]
        close_all(clients)
        time.sleep(0.05)
    assert server.get()[0] == 200


@case(honest=True)
def busy_scripts(server):
    """All come at a time, and each uses up what a script may."""
    clients = [server.connect(request("/spin", "Connection: close")) for _ in range(10)]
    for client in clients:
        assert split(drain(client))[0] == 500
    close_all(clients)


# ---- floods ----

@case(honest=True, memory=96)  # those of one round may still be there in the next
def pipelining_flood(server):
    clients = [server.connect(buffer=4096) for _ in range(20)]
    for client in clients:
        client.setblocking(False)
    for _ in range(50):
        for client in clients:
            try:
                client.send(request("/big.bin") * 500)
            except (BlockingIOError, ConnectionResetError, BrokenPipeError):
                pass
    close_all(clients)


@case(honest=True)
def range_storm(server):
    many = ",".join("%d-%d" % (i, i) for i in range(0, 2000, 2))
    for spec in (many, ",".join(["0-"] * 1000), ",".join(["0-9"] * 16), "0-,1-,2-,3-"):
        for _ in range(10):
            with server.connect(request("/big.bin", "Range: bytes=" + spec, "Connection: close")) as client:
                answer = drain(client)
                assert answer is not None and len(answer) < BIG_BYTES + 65536, (spec[:20], len(answer))
                assert answer[9:12] in (b"200", b"206", b"416", b"431"), answer[:40]


@case(honest=True)
def header_floods(server):
    for data, status in ((b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", 414),
                         (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"x: y\r\n" * 200, 431),
                         (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 9000, 431),
                         (b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"x: " + b"y" * 8000 + b"\r\n") * 10, 431)):
        for _ in range(20):
            with server.connect() as client:
                send(client, data)
                assert split(drain(client))[0] == status


@case(honest=True)
def endless_chunk_extensions(server):
    head_ = request("/body", "Transfer-Encoding: chunked", method="POST")
    for line in (b"1;" + b"a=b;" * 5000, b"1;" + b"a" * 200 + b"\r\nx\r\n"):
        with server.connect(head_) as client:
            for _ in range(200):
                if not send(client, line):
                    break
            answer = drain(client)
            assert answer is not None and answer[9:12] in (b"400", b"413"), answer


@case(honest=True)
def connection_flood(server):
    end = time.monotonic() + 1
    while time.monotonic() < end:
        close_all([server.connect() for _ in range(100)])


# ---- TLS ----

def hello(server):
    """The first message of a handshake, as a client sends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@case(honest=True)
def handshake_flood(server):
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        server.connect_tls().close()


@case(honest=True)
def half_handshakes(server):
    """Of one address 256 may be in the handshake; the oldest make way. The rest ends by the time-out."""
    data = hello(server)
    start = time.monotonic()
    clients = [server.connect(data if i % 2 else data[:50], port=server.tls_port) for i in range(300)]
    assert wait_for(lambda: not any(is_open(c) for c in clients[:44])), "the oldest are there"
    assert any(is_open(c) for c in clients[44:]) or time.monotonic() - start > HEADER - 0.5, "none is left"
    with server.connect_tls() as late:
        late.sendall(request("/", "Connection: close"))
        assert split(drain(late)) == (200, SMALL)
    expect_ended(clients, SECONDS)
    close_all(clients)


@case(honest=True)
def garbage_for_tls(server):
    for data in (request() * 10, b"\x16\x03\x01\xff\xff" + b"x" * 65535, b"\x80" * 100, b"\x15\x03\x01\x00\x02\x01\x00"):
        with server.connect(port=server.tls_port) as client:
            send(client, data)
            assert drain(client) is not None


@case(honest=True)
def key_update_flood(server):
    client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.tls_port],
                              stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while client.poll() is None:  # the server has enough before long, and s_client ends with it
            client.stdin.write(b"k\n")
            client.stdin.flush()
            time.sleep(0.001)
    except BrokenPipeError:
        pass
    assert wait_for(lambda: client.poll() is not None), "the server takes them all"


@case
def renegotiation_flood(_):
    """TLS 1.2 has it, and the server does not."""
    server = Server("--tls-addr", "127.0.0.1:0", "--cert", path("cert.pem"), "--key", path("key.pem"), "--tls-min", "1.2")
    for _ in range(2):
        client = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", "127.0.0.1:%d" % server.tls_port],
                                input=b"R\n" * 100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS,
                                check=False)
        assert b"RENEGOTIATING" in client.stdout and b"no renegotiation" in client.stdout, client.stdout[-500:]
    assert server.get() == (200, SMALL)
    assert server.stop() == 0


@case(honest=True)
def idle_tls_connections(server):
    before = server.rss()
    clients = []
    count = 40 if SANITIZED else 200
    for i in range(count):
        client = server.connect_tls("h2" if i % 2 else "http/1.1")
        client.sendall(PREFACE + settings() if i % 2 else request())
        clients.append(client)
    time.sleep(0.3)
    grown = server.rss() - before
    assert SANITIZED or grown < count * (64 << 10), grown
    close_all(clients)


# ---- requests ----

@case(honest=True)
def paths_out_of_the_site(server):
    ups = ["../", "..%2f", "%2e%2e/", "%2e%2e%2f", ".%2e/", "..\\", "..%5c", "%252e%252e%252f", "..%c0%af", "..;/",
           "....//", "%c0%ae%c0%ae/", "..%00/", "..%u2215", "./../", "//..//", "%2e%2e%5c", "..%ef%bc%8f"]
    for up in ups:
        for target in ("/" + up * 8 + "etc/passwd", "/x/" + up * 9 + "etc/passwd", "/" + up + "secret.txt",
                       "/" + up * 3 + ".zeroserve/scripts/attacked.c", "/" + up * 8 + "proc/self/environ"):
            status, body = server.get(target)
            assert status in (400, 404), (target, status)
            assert b"root:" not in body and b"secret" not in body and b"ZS_ENTRY" not in body, target
    for target in ("/.zeroserve/scripts/attacked.c", "/%2ezeroserve/scripts/attacked.c", "/.zeroserve%2fscripts/attacked.c",
                   "/./.zeroserve/scripts/attacked.c", "//.zeroserve/scripts/attacked.c",
                   "/.zeroserve/./scripts/attacked.c", "/index.html/../.zeroserve/scripts/attacked.c"):
        status, body = server.get(target)
        assert status in (400, 404) and b"ZS_ENTRY" not in body, (target, status)


@case(honest=True)
def fields_from_values(server):
    for value in ("a%0d%0aInjected:%20yes", "a%0aInjected:%20yes", "a%0dInjected:%20yes", "a%00b",
                  "a%0d%0a%0d%0a<script>", "%e5%98%8a%e5%98%8dInjected:%20yes"):
        with server.connect(request("/inject?v=" + value, "Connection: close")) as client:
            answer = drain(client)
        assert answer[9:12] in (b"200", b"500") and answer.count(b"\r\n\r\n") == 1, (value, answer)
        assert b"\nInjected" not in answer and b"\rInjected" not in answer and b"\0" not in answer, (value, answer)
    ok = server.connect(request("/inject?v=fine", "Connection: close"))
    assert b"x-value: fine\r\n" in drain(ok).lower()
    ok.close()


# ---- tars ----

def tar_of(name, *members):
    with tarfile.open(path(name), "w") as tar:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path(name)


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    info.devmajor, info.devminor = 1, 5
    return info, b""


@case
def tars_with_links_and_devices(_):
    site = tar_of("odd.tar", ("index.html", SMALL), special("passwd", tarfile.SYMTYPE, "/etc/passwd"),
                  special("up", tarfile.SYMTYPE, "../../../../etc"), special("hard", tarfile.LNKTYPE, "/etc/passwd"),
                  special("zero", tarfile.CHRTYPE), special("disk", tarfile.BLKTYPE), special("fifo", tarfile.FIFOTYPE),
                  special("loop", tarfile.SYMTYPE, "loop"))
    server = Server(site=site)
    assert server.get() == (200, SMALL)
    for target in ("/passwd", "/up/passwd", "/hard", "/zero", "/disk", "/fifo", "/loop", "/loop/loop"):
        status, body = server.get(target)
        assert status == 404 and b"root:" not in body, (target, status)
    assert server.stop() == 0


@case
def tar_cut_off_while_served(_):
    data = b"%08d" % 7 * (BIG_BYTES // 8)
    site = tar_of("cut.tar", ("big.bin", data), ("index.html", SMALL))
    server = Server(site=site)
    client = server.connect(request("/big.bin"), buffer=4096)
    client.recv(1000)
    os.truncate(site, 1 << 20)
    answer = drain(client)
    assert answer is not None and len(answer) < BIG_BYTES
    client.close()
    assert server.get("/big.bin")[1] != data and server.process.poll() is None
    fresh = tar_of("new.tar", ("index.html", b"new\n"))
    os.rename(fresh, site)
    server.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: server.get() == (200, b"new\n"))
    with open(site, "wb") as file:  # garbage: the old one is kept
        file.write(b"garbage" * 1000)
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert server.process.poll() is None
    server.stop()


@case(honest=True)
def reload_storm(server):
    for _ in range(40):
        server.process.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    assert server.get() == (200, SMALL)


# ---- an environment that fails ----

@case(honest=True)
def certificates_gone_or_old(server):
    os.rename(path("cert.pem"), path("kept.pem"))
    server.process.send_signal(signal.SIGHUP)
    assert wait_for(lambda: "cert.pem" in server.output()), "nobody was told"
    client = server.connect_tls()
    client.sendall(request("/", "Connection: close"))
    assert split(drain(client)) == (200, SMALL)
    client.close()
    subprocess.run(["openssl", "x509", "-in", path("kept.pem"), "-signkey", path("key.pem"), "-days", "-1",
                    "-out", path("cert.pem")], check=False, stderr=subprocess.DEVNULL)
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    client = server.connect_tls()  # who cares for the date does not connect; the server goes on
    client.close()
    os.rename(path("kept.pem"), path("cert.pem"))
    server.process.send_signal(signal.SIGHUP)


@case
def out_of_descriptors(_):
    """Who finds none is turned away, and those who are there are served; the log says so once."""
    half = b"GET / HTTP/1.1\r\n"  # whose sender may not make way
    server = Server(descriptors=64, taken=24)
    clients = [server.connect(half) for _ in range(60)]
    assert wait_for(lambda: [is_open(c) for c in clients].count(False) > 20), "not turned away"
    time.sleep(0.3)  # nobody comes
    there = [c for c in clients if is_open(c)]
    assert len(there) > 5, len(there)
    for client in there:
        send(client, b"Host: a\r\nConnection: close\r\n\r\n")
        assert split(drain(client)) == (200, SMALL)
    close_all(clients)
    assert wait_for(lambda: server.get() == (200, SMALL)), "nobody is served any more"
    assert server.output().count("accept: ") == 1, server.output()
    assert server.stop() == 0


def first_open(clients):
    """How many of the oldest are not there any more; the others all are."""
    states = [is_open(c) for c in clients]
    assert states == sorted(states), states
    return states.count(False)


@case
def crowded_by_idle_connections(_):
    """With as many as may be, those make way that have been idle for longest, of either protocol, and one that comes is
    served."""
    server = Server(descriptors=128)  # so some 90 connections
    clients = []
    for i in range(60):
        client = h2_connect(server) if i % 2 else server.connect()
        send(client, head(1) if i % 2 else request())
        got = b""
        while SMALL not in got:
            got += client.recv(1 << 16)
        clients.append(client)
        time.sleep(0.002)  # the server counts milliseconds
    assert first_open(clients) == 0, "made way too soon"
    late = []
    for _ in range(60):
        late.append(server.connect(request()))
        assert late[-1].recv(1 << 16).endswith(SMALL)
    assert wait_for(lambda: first_open(clients) > 10), first_open(clients)
    assert first_open(late) == 0
    close_all(clients + late)
    assert server.stop() == 0


@case
def who_makes_way_is_told(_):
    """Over HTTP/2, plain and by TLS: GOAWAY, with the last stream that was answered."""
    server = Server("--tls-addr", "127.0.0.1:0", "--cert", path("cert.pem"), "--key", path("key.pem"), descriptors=128)
    idle = [h2_connect(server), server.connect_tls("h2")]
    idle[1].sendall(PREFACE + settings())
    for client in idle:
        client.sendall(head(1) + head(3))
        got = b""
        while struct.pack(">BBI", DATA, END_STREAM, 3) not in got:
            got += client.recv(1 << 16)
        client.sendall(frame(SETTINGS, ACK))
    late = []
    for _ in range(120):
        late.append(server.connect(request()))
        assert late[-1].recv(1 << 16).endswith(SMALL)
    for client in idle:
        assert goaways(drain(client) or b"") == [(3, NO_ERROR)]
    close_all(idle + late)
    assert server.stop() == 0


def served_while(name, **how):
    server = Server("--access-log", name, "--drain-timeout", "1", **how)
    for _ in range(300):
        assert server.get() == (200, SMALL)
    return server


@case
def log_on_a_full_disk(_):
    server = served_while("/dev/full")
    assert "No space left" in server.output()
    assert server.stop() == 0


@case
def log_reader_sleeps_then_dies(_):
    """Standard error is a pipe nobody reads, and with more lines than it and the queue hold; then its reader ends."""
    reader, writer = os.pipe()
    server = Server("--drain-timeout", "1", stderr=writer)
    os.close(writer)
    text = b""
    while b"listening on http:" not in text or not text.endswith(b"\n"):
        text += os.read(reader, 4096)
    server.find_ports(text.decode())
    with server.connect() as client:
        target = "/" + "a" * 1900
        for _ in range(20):
            send(client, request(target) * 50)
            end, got = 50, 0
            while got < end:
                got += client.recv(1 << 16).count(b"HTTP/1.1 404 ")
    assert server.get() == (200, SMALL)
    os.close(reader)
    for _ in range(20):
        assert server.get() == (200, SMALL)
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(SECONDS) == 0


if __name__ == "__main__":
    write("secret.txt", "secret\n")
    write("site/index.html", SMALL)
    write("site/big.bin", b"%08d" % 0 * (BIG_BYTES // 8))
    write("site/.zeroserve/scripts/attacked.c", SCRIPT)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=localhost", "-keyout", path("key.pem"), "-out", path("cert.pem")],
                   check=True, stderr=subprocess.DEVNULL)
    sys.exit(run(Server("--header-timeout", str(HEADER), "--idle-timeout", str(IDLE), "--body-timeout", str(BODY),
                        "--send-timeout", str(SEND), "--drain-timeout", "3", "--disable-request-logging",
                        "--script-cpu-budget-ms", "50", "--tls-addr", "127.0.0.1:0", "--cert", path("cert.pem"),
                        "--key", path("key.pem"))))
