# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around the server: upstreams that stall or babble, clients that stall towards them, names that are
never found out, memory that runs out, a disk that cannot be read. Each is bounded, and an honest client is served.

Faults of the system come from faults.c, which is preloaded. Prints a line for each case and `N passed, N failed` at
the end. Needs cc(1).
usage: attacks_around.py BUILD_FOLDER [CASE...]
"""

import mmap
import os
import subprocess
import sys
import tarfile
import threading
import time

from attack_base import *

GRACE = 1  # seconds in which a body may come slowly
PROXY = 2  # seconds that an upstream may take
ALLOCATIONS, NAMES, DISK = range(3)  # bytes of the file that says what fails

PROXY_SCRIPT = """
#include <zeroserve.h>
static char path[64];

ZS_ENTRY zs_u64 entry(void)
{
    zs_req_path(path, sizeof path);
    if (zs_strncmp(path, "/up/", 4) == 0)
        zs_reverse_proxy(ZS_STR("http://127.0.0.1:%d"));
    else if (zs_strncmp(path, "/name/", 6) == 0)
        zs_reverse_proxy(ZS_STR("http://no-such-name.test"));
    return 0;
}
"""


class Faults:
    """Of one server: faults[DISK] = 1 lets it happen."""

    def __init__(self):
        library = path("faults.so")
        if not os.path.exists(library):
            subprocess.run(["cc", "-D_GNU_SOURCE", *["-DSANITIZED"] * SANITIZED, "-O1", "-shared", "-fPIC", "-o", library,
                            os.path.join(os.path.dirname(os.path.abspath(__file__)), "faults.c")], check=True)
        name = path("faults%d" % time.monotonic_ns())
        with open(name, "wb") as file:
            file.write(bytes(4096))
        with open(name, "r+b") as file:
            self.bytes = mmap.mmap(file.fileno(), 4096)
        self.environment = {"LD_PRELOAD": library, "FAULTS": name,
                            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def __setitem__(self, index, value):
        self.bytes[index] = value


class Upstream:
    """Answers each connection with `serve` in a thread of its own."""

    def __init__(self, serve):
        self.serve = serve
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            client.settimeout(SECONDS)
            threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client):
        try:
            with client:
                self.serve(client, client.recv(1 << 16))
        except OSError:
            pass


def play_upstream(client, asked):
    """What the path says."""
    if asked.startswith(b"GET /up/silent"):
        while client.recv(1 << 16):
            pass
    elif asked.startswith(b"GET /up/dribble"):
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            client.sendall(b".")
            time.sleep(0.1)
    elif asked.startswith(b"POST /up/early"):
        client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    elif asked.startswith(b"POST"):
        while client.recv(1 << 16):
            pass
    elif asked.startswith(b"GET /up/head"):
        client.sendall(b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 200000)
    elif asked.startswith(b"GET /up/interim"):
        client.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10000)


# ---- upstreams, and clients towards them ----

@case(honest=True)
def silent_upstreams(server):
    clients = [server.connect(request("/up/silent")) for _ in range(100)]
    h2 = h2_connect(server)
    send(h2, b"".join(head(i, "/up/silent") for i in range(1, 201, 2)))
    for client in clients:
        assert split(drain_answer(client))[0] == 504
    got = b""
    while sum(f[0] == HEADERS for f in frames(got)) < 100:
        piece = h2.recv(1 << 16)
        assert piece
        got += piece
    close_all(clients + [h2])


def drain_answer(client):
    got = b""
    while b"\r\n\r\n" not in got:
        piece = client.recv(1 << 16)
        assert piece, got
        got += piece
    return got


@case(honest=True)
def dribbling_upstreams(server):
    clients = [server.connect(request("/up/dribble")) for _ in range(50)]
    for client in clients:
        assert split(drain_answer(client))[0] == 200
    time.sleep(0.5)
    close_all(clients)


@case(honest=True)
def early_and_odd_answers(server):
    """An answer ahead of the request's body, a head without an end, 1xx without an end."""
    for _ in range(10):
        client = server.connect(request("/up/early", "Content-Length: 1000000", method="POST"))
        send(client, b"x" * 100000)
        assert split(drain_answer(client))[0] == 403
        client.close()
        assert server.get("/up/head")[0] == 502
        with server.connect(request("/up/interim", "Connection: close")) as client:
            assert b"HTTP/1.1 502 " in drain(client)


def dribble(server, target):
    """A byte now and then keeps the time-out from passing, but is too slow."""
    clients = [server.connect(request(target, "Content-Length: 1000", method="POST")) for _ in range(50)]
    start = time.monotonic()
    while time.monotonic() - start < GRACE + 0.6:
        for client in clients:
            send(client, b"x")
        time.sleep(0.1)
    answers = [drain(client) for client in clients]
    assert all(a is not None and a.startswith(b"HTTP/1.1 408 ") for a in answers), answers
    assert GRACE - 0.1 < time.monotonic() - start < SECONDS
    close_all(clients)


@case(honest=True)
def dribbled_bodies_for_scripts(server):
    dribble(server, "/body")


@case(honest=True)
def dribbled_bodies_for_upstreams(server):
    dribble(server, "/up/post")


# ---- the system ----

def faulty_server(site="site", **more):
    faults = Faults()
    return faults, Server("--disable-request-logging", "--drain-timeout", "1", site=path(site),
                          environment={**faults.environment, **more})


@case
def names_without_an_answer(_):
    """Those who ask for one wait, nobody else does."""
    faults, server = faulty_server()

    def ask(server):
        faults[NAMES] = 1
        clients = [server.connect(request("/name/")) for _ in range(100)]
        time.sleep(ATTACK)
        faults[NAMES] = 0
        for client in clients:
            assert split(drain_answer(client))[0] == 502
        close_all(clients)

    note = attack_beside_honest_client(server, ask)
    assert server.stop() == 0
    return note


@case
def out_of_memory(_):
    """Of many requests some fail while allocations do; none after that, and nothing crashes."""
    if SANITIZED:
        return  # see faults.c
    faults, server = faulty_server()
    unserved = 0
    for one_in in 2, 7, 31:
        faults[ALLOCATIONS] = one_in
        for round_ in range(60):
            clients = [server.connect(request("/" if round_ % 2 else "/big.bin")) for _ in range(5)]
            clients += [server.connect(request("/body", "Content-Length: 3", method="POST") + b"abc"),
                        server.connect(request("/page.html", "Range: bytes=0-1,3-4")), h2_connect(server)]
            send(clients[-1], head(1) + head(3, "/page.html") + head(5, "/big.bin"))
            for client in clients:
                client.settimeout(0.02)
                try:
                    unserved += not client.recv(1 << 16)
                except OSError:
                    unserved += 1
            close_all(clients)
        faults[ALLOCATIONS] = 0
        assert server.process.poll() is None, server.output()[-3000:]
        for _ in range(20):
            assert server.get() == (200, SMALL)
    assert unserved > 100, unserved
    assert server.stop() == 0


@case
def disk_that_cannot_be_read(_):
    """Answers that began are cut off, others fail, and what is in memory is still served."""
    with tarfile.open(path("site.tar"), "w") as tar:
        for name in "index.html", "big.bin", "page.html":
            tar.add(path("site/" + name), name)
    faults, server = faulty_server("site.tar", FAULTS_FILE=os.path.realpath(path("site.tar")))
    assert server.get() == (200, SMALL)
    client = server.connect(request("/big.bin"), buffer=4096)
    client.recv(1000)
    faults[DISK] = 1
    time.sleep(0.3)
    answer = drain(client)
    assert answer is not None and len(answer) < BIG_BYTES
    for target in "/big.bin", "/page.html":
        assert server.get(target)[1] == b"", target
    h2 = h2_connect(server)
    send(h2, head(1, "/big.bin"))
    got = b""
    while not any(f[0] == RST_STREAM for f in frames(got)):
        piece = h2.recv(1 << 16)
        assert piece
        got += piece
    assert server.get() == (200, SMALL)  # it was asked for before
    close_all([client, h2])
    assert server.stop() == 0


if __name__ == "__main__":
    upstream = Upstream(play_upstream)
    write("site/index.html", SMALL)
    write("site/page.html", b"<p>" + b"y" * 3000)
    write("site/big.bin", b"%08d" % 0 * (BIG_BYTES // 8))
    write("site/.zeroserve/scripts/10-attacked.c", SCRIPT)
    write("site/.zeroserve/scripts/20-proxy.c", PROXY_SCRIPT % upstream.port)
    sys.exit(run(Server("--header-timeout", str(HEADER), "--idle-timeout", str(IDLE), "--body-timeout", str(BODY),
                        "--body-grace", str(GRACE), "--proxy-timeout", str(PROXY), "--send-timeout", str(SEND),
                        "--drain-timeout", "3", "--disable-request-logging")))
