# SPDX-License-Identifier: Apache-2.0
"""What the tests of attacks share: servers, an honest client in a process of its own, sockets, frames.

A case is a function with @case. It attacks MAIN, or a server of its own. Beside those with @case(honest=True) an honest
client asks for a small file all the time, first while nothing else happens: each of its requests must be answered, and
the slowest of a hundred within five times what it was before. The time that the server's thread and the client waited
for a processor is not counted: it says who else is on the machine. The kernel tells it (schedstat); where it does not,
all time counts. The memory that the server had most of may not have grown beyond what the case allows.

Machines that are busy with other things have a floor: what takes less than that is never too slow. With ATTACKS_STRICT
in the environment there is none, for a machine with nothing else to do. Then the server has a processor of its own, all
others share one, and while "nothing else happens" a neighbour is as loud on that one as an attacker, but leaves the
server alone: what the honest client loses by sharing a processor and the kernel's loopback is in both measurements.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import traceback

BUILD = os.path.abspath(sys.argv[1])
BINARY = os.path.join(BUILD, "zeroserve")
WORK = tempfile.TemporaryDirectory()
with open(BINARY, "rb") as program:
    SANITIZED = re.search(rb"__[at]san_init", program.read()) is not None
SMALL = b"home\n"
BIG_BYTES = 8 << 20
SECONDS = 30  # for what has to come; never waited for when all is well
HEADER, IDLE, BODY, SEND = 3, 4, 2, 3  # time-outs of MAIN
MEMORY = 16  # MiB that an attack may cost, if its case does not say otherwise
QUIET = 0.25  # seconds before an attack, at least
ATTACK = 0.3 if SANITIZED else 0.6  # seconds that it goes on, at least
REQUESTS = 50 if SANITIZED else 200  # of the honest client before it, and during it, at least
ATTACK_MAX = 4 if SANITIZED else 10  # seconds
TIMES_QUIET = 5
STRICT = "ATTACKS_STRICT" in os.environ
# Seconds that an honest request may always take. Sanitizers keep what is freed, so that some attacks take them 0.2.
FLOOR = 1 if SANITIZED else 0.01
PROCESSORS = sorted(os.sched_getaffinity(0))
PINNED = ["taskset", "-c", str(PROCESSORS[0])] if STRICT and len(PROCESSORS) > 1 else []
WINDOWS = 4  # measured, until one is good: what the server does wrong it does in each
HONEST_ADDRESS = "127.0.0.2"
CASES = []

SCRIPT = r"""
#include <zeroserve.h>
static char path[64];
static char value[256];
static char body[64 * 1024];

ZS_ENTRY zs_u64 entry(void)
{
    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/inject") == 0) {
        zs_s64 bytes = zs_req_query_param(ZS_STR("v"), value, sizeof value);
        if (bytes > 0)
            zs_res_add_header(ZS_STR("x-value"), value, (zs_u64)bytes);
        zs_respond(200, ZS_STR("injected?\n"));
    } else if (zs_strcmp(path, "/body") == 0) {
        zs_s64 bytes = zs_req_body(body, sizeof body);
        zs_respond(bytes < 0 ? 413 : 200, ZS_STR("body\n"));
    } else if (zs_strcmp(path, "/page.html") == 0) {
        zs_meta_set(ZS_STR("word"), ZS_STR("made"));
    } else if (zs_strcmp(path, "/spin") == 0) {
        for (volatile zs_u64 i = 0;; i++) {
        }
    } else if (zs_strcmp(path, "/work") == 0) {
        for (volatile zs_u64 i = 0; i < 30000; i++) {
        }
        zs_respond(200, ZS_STR("done\n"));
    }
    return 0;
}
"""


def path(name):
    return os.path.join(WORK.name, name)


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


def case(function=None, honest=False, memory=MEMORY):
    if function is None:
        return lambda f: case(f, honest, memory)
    CASES.append((function, honest, memory))
    return function


def wait_for(condition, seconds=SECONDS):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Server:
    def __init__(self, *arguments, site=None, descriptors=None, taken=0, stderr=None, environment=()):
        """descriptors: it may have no more, and `taken` of them are in use already. environment: to be added."""
        self.log = path("log%d" % time.monotonic_ns())

        def limit():
            for fd in range(descriptors - taken, descriptors):
                os.dup2(0, fd, inheritable=True)
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(
                [*PINNED, BINARY, "--addr", "127.0.0.1:0", "--threads", "1", *arguments, site or path("site")],
                stderr=stderr or file,
                preexec_fn=limit if descriptors else None, close_fds=descriptors is None,
                env={**os.environ, **dict(environment)})
        if stderr is None:
            assert wait_for(lambda: "listening on http:" in self.output() or self.process.poll() is not None)
            self.find_ports()

    def find_ports(self, text=None):
        ports = dict(re.findall(r"listening on (https?)://127\.0\.0\.1:(\d+)", text or self.output()))
        self.port = int(ports["http"])
        if "https" in ports:
            self.tls_port = int(ports["https"])

    def output(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def rss(self):
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def forget_peak(self):
        with open("/proc/%d/clear_refs" % self.process.pid, "w") as file:
            file.write("5")

    def peak(self):
        """Most memory since forget_peak."""
        with open("/proc/%d/status" % self.process.pid) as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) << 10

    def schedstat(self):
        """Of the only worker."""
        tasks = "/proc/%d/task" % self.process.pid
        for task in os.listdir(tasks):
            with open("%s/%s/comm" % (tasks, task)) as file:
                if file.read().startswith("worker"):
                    return "%s/%s/schedstat" % (tasks, task)
        return ""

    def connect(self, data=b"", buffer=None, port=None):
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(SECONDS)
        client.connect(("127.0.0.1", port or self.port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send(client, data)
        return client

    def connect_tls(self, *protocols):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if protocols:
            context.set_alpn_protocols(protocols)
        return context.wrap_socket(self.connect(port=self.tls_port))

    def get(self, target="/", port=None):
        """Status and body of one request."""
        with self.connect(request(target, "Connection: close"), port=port) as client:
            return split(drain(client))

    def pause(self):
        """Stops it until SIGCONT; returns when it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "hangs"
        if status != 0:
            print(self.output()[-4000:])
        return status


def request(target="/", *fields, method="GET"):
    return "\r\n".join(["%s %s HTTP/1.1" % (method, target), "Host: a", *fields, "", ""]).encode("latin-1")


def split(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]) if head.startswith(b"HTTP/1.1 ") else 0, body


def send(client, data):
    """True: all of it was taken by a peer that still listens."""
    try:
        client.sendall(data)
        return True
    except (BrokenPipeError, ConnectionResetError, socket.timeout, ssl.SSLError):
        return False


def drain(client, seconds=SECONDS):
    """All that comes until the end, of either kind. None: it did not end in time."""
    data = bytearray()
    end = time.monotonic() + seconds
    try:
        while True:
            client.settimeout(max(0.01, end - time.monotonic()))
            piece = client.recv(1 << 16)
            if not piece:
                return bytes(data)
            data += piece
            if time.monotonic() > end:
                return None
    except socket.timeout:
        return None
    except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
        return bytes(data)


def close_all(clients):
    for client in clients:
        client.close()


def is_open(client):
    """Has the server not ended the connection? Takes what it sent."""
    try:
        poll = select.poll()
        poll.register(client, select.POLLIN)
        while poll.poll(0):
            if not client.recv(1 << 16):
                return False
        return True
    except (ConnectionResetError, BrokenPipeError):
        return False


# ---- the honest client ----

def connect_honestly(port):
    """From an address that no attacker has. All attackers share 127.0.0.1, and a flood of connections uses up its ports
    for a second: connect() then searches 2 ms for a free one, before the server hears of the client."""
    client = socket.socket()
    client.settimeout(SECONDS)
    client.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
    client.bind((HONEST_ADDRESS, 0))
    client.connect(("127.0.0.1", port))
    return client


class WaitClock:
    """Seconds that threads waited for a processor."""

    def __init__(self, *schedstats):
        self.files = [os.open(name, os.O_RDONLY) for name in schedstats if os.path.exists(name)]

    def read(self):
        return sum(int(os.pread(file, 64, 0).split()[1]) for file in self.files) / 1e9


def ask_honestly(port, schedstat, pipe, stop, count):
    """Sends (when asked, seconds until answered, seconds of them waited for a processor) of each request."""
    samples = []
    error = None
    waits = WaitClock(schedstat, "/proc/self/schedstat")
    try:
        while not stop.is_set():
            start, waited = time.monotonic(), waits.read()
            with connect_honestly(port) as client:
                for _ in range(10):
                    client.sendall(request())
                    answer = b""
                    while not answer.endswith(SMALL):
                        piece = client.recv(4096)
                        assert piece, "closed after %r" % answer
                        answer += piece
                    assert answer.startswith(b"HTTP/1.1 200 "), answer
                    samples.append((start, time.monotonic() - start, waits.read() - waited))
                    count.value += 1
                    time.sleep(0.001)
                    start, waited = time.monotonic(), waits.read()
    except Exception as failure:  # told to the test
        error = repr(failure)
    pipe.send((samples, error))


@contextlib.contextmanager
def honest_client(server):
    """Gives a list that holds the samples at the end, and a number whose value is how many there are."""
    samples = []
    count = multiprocessing.Value("i", 0, lock=False)
    ours, theirs = multiprocessing.Pipe()
    stop = multiprocessing.Event()
    client = multiprocessing.Process(target=ask_honestly, args=(server.port, server.schedstat(), theirs, stop, count),
                                     daemon=True)
    client.start()
    try:
        yield samples, count
    finally:
        stop.set()
        assert ours.poll(2 * SECONDS), "the honest client is not answered"
        measured, error = ours.recv()
        samples += measured
        client.join()
    assert error is None, "the honest client: " + error


def be_loud(stop):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        while not stop.is_set():
            with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as peer:
                for _ in range(4):
                    client.sendall(request() * 100)
                    peer.recv(1 << 16)


@contextlib.contextmanager
def loud_neighbour():
    stop = multiprocessing.Event()
    neighbour = multiprocessing.Process(target=be_loud, args=(stop,), daemon=True)
    neighbour.start()
    try:
        yield
    finally:
        stop.set()
        neighbour.join()


def slowest(samples, gross=False):
    """Of a hundred, the second slowest."""
    times = sorted(s[1] if gross else max(0, s[1] - s[2]) for s in samples)
    return percentile(times, 0.99)


def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


# ---- HTTP/2 in frames ----

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
PRIORITY_UPDATE = 16
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL, CANCEL, COMPRESSION, CALM = 0, 1, 8, 9, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value, kind=0):
    def text(data):
        length = bytes([min(len(data), 127)])
        if len(data) >= 127:
            rest, length = len(data) - 127, b"\x7f"
            while rest >= 128:
                length += bytes([rest % 128 | 128])
                rest //= 128
            length += bytes([rest])
        return length + data
    return bytes([kind]) + text(name.encode()) + text(value.encode())


def block(target="/", method="GET", *more):
    fields = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", target), *more]
    return b"".join(literal(*field) for field in fields)


def head(stream, target="/", method="GET", *more, flags=END_STREAM | END_HEADERS):
    return frame(HEADERS, flags, stream, block(target, method, *more))


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def number(kind, stream, value):
    return frame(kind, 0, stream, struct.pack(">I", value))


def frames(data):
    """(kind, flags, stream, payload) of all whole frames."""
    found = []
    while len(data) >= 9:
        size = int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", data[3:9])
        found.append((kind, flags, stream, data[9:9 + size]))
        data = data[9 + size:]
    return found


def goaways(data):
    """(last stream, error) of each GOAWAY."""
    return [struct.unpack(">II", f[3][:8]) for f in frames(data) if f[0] == GOAWAY]


def h2_connect(server, *pairs, buffer=None):
    return server.connect(PREFACE + settings(*pairs), buffer=buffer)


# ---- the run ----

def attack_window(server, function):
    """Samples of an honest client before the attack and during it."""
    with honest_client(server) as (samples, count):
        with loud_neighbour() if STRICT else contextlib.nullcontext():
            time.sleep(QUIET)
            assert wait_for(lambda: count.value >= REQUESTS), "the honest client is not answered"
        start = time.monotonic()
        end = count.value + REQUESTS
        while time.monotonic() - start < ATTACK or (count.value < end and time.monotonic() - start < ATTACK_MAX):
            function(server)
    return [s for s in samples if s[0] + s[1] < start], [s for s in samples if s[0] + s[1] >= start]


def attack_beside_honest_client(server, function):
    """What to note. Fails when the honest client is slowed down too much in each window."""
    for window in range(WINDOWS):
        quiet, during = attack_window(server, function)
        note = "honest 99th percentile %.2f ms of %d, %.2f before; with waits for a processor %.1f, %.1f" % (
            1000 * slowest(during), len(during), 1000 * slowest(quiet), 1000 * slowest(during, True),
            1000 * slowest(quiet, True))
        if slowest(during) < max(0 if STRICT else FLOOR, TIMES_QUIET * slowest(quiet)):
            return note + (", window %d" % (window + 1) if window else "")
    raise AssertionError("the honest client waits: " + note)


def run_case(server, function, honest, memory):
    """What to note."""
    server.forget_peak()
    before = server.rss()
    note = attack_beside_honest_client(server, function) if honest else function(server)
    grown = (server.peak() - before) / (1 << 20)
    assert SANITIZED or grown < memory, "memory grew by %.1f MiB" % grown
    assert server.process.poll() is None, "the server ended: " + server.output()[-3000:]
    return "%s%.1f MiB" % (note + ", " if note else "", grown)


def run(server):
    """Runs all cases, or those that are named; prints the count."""
    if PINNED:
        os.sched_setaffinity(0, {PROCESSORS[-1]})
    passed = failed = 0
    for function, *how in CASES:
        if len(sys.argv) > 2 and function.__name__ not in sys.argv[2:]:
            continue
        start = time.monotonic()
        try:
            note = run_case(server, function, *how)
            passed += 1
            print("ok   %s (%.1f s, %s)" % (function.__name__, time.monotonic() - start, note))
        except Exception:  # any is a failed case
            failed += 1
            print("FAIL %s\n%s" % (function.__name__, traceback.format_exc()))
            if server.process.poll() is not None:
                print("     the server ended:\n" + server.output()[-3000:])
                break
        sys.stdout.flush()
    status = server.stop()
    passed, failed = (passed + 1, failed) if status == 0 else (passed, failed + 1)
    print("%s the server ends clean" % ("ok  " if status == 0 else "FAIL"))
    print("%d passed, %d failed" % (passed, failed))
    return 0 if failed == 0 else 1
