# SPDX-License-Identifier: Apache-2.0
"""Hostile clients of HTTP/2: floods, stalls, bombs. Each is bounded, and an honest client beside it is served.

Prints a line for each case and `N passed, N failed` at the end. Only the standard library is used.
usage: attacks_h2.py BUILD_FOLDER [CASE...]
"""

import signal
import struct
import sys
import time

from attack_base import *

ALL_STREAMS = 2**31 - 1
PAGE_BYTES = 300000


def flood(server, data, times, buffer=None):
    """Sends it again and again without reading until the server has enough. All it said, or None."""
    client = h2_connect(server, buffer=buffer)
    client.settimeout(5)
    for _ in range(times):
        if not send(client, data):
            break
    return drain(client)


def ended_with(answer, error):
    return answer is not None and (goaways(answer) == [] or goaways(answer)[-1][1] == error)


@case(honest=True)
def rapid_reset(server):
    data = b"".join(head(i) + number(RST_STREAM, i, CANCEL) for i in range(1, 4001, 2))
    answer = flood(server, data, 1)
    assert ended_with(answer, CALM), goaways(answer or b"")


@case(honest=True)
def streams_of_scripts(server):
    """A hundred at a time, none of which takes long."""
    client = h2_connect(server)
    for first in range(1, 801, 200):
        send(client, b"".join(head(i, "/work") for i in range(first, first + 200, 2)))
        answers = 0
        while answers < 100:
            got = client.recv(1 << 16)
            assert got, "closed after %d" % answers
            answers += got.count(b"done\n")
    client.close()


@case(honest=True)
def made_you_reset(server):
    """Frames that make the server reset the stream, of each kind."""
    for wrong in (lambda i: number(WINDOW_UPDATE, i, 0),
                  lambda i: number(WINDOW_UPDATE, i, 2**31 - 1),
                  lambda i: frame(DATA, 0, i, b"more"),
                  lambda i: frame(PRIORITY, 0, i, b"four"),
                  lambda i: head(i, "/big.bin")):
        answer = flood(server, b"".join(head(i, "/big.bin") + wrong(i) for i in range(1, 4001, 2)), 1)
        assert answer is not None and goaways(answer) and goaways(answer)[-1][1] != NO_ERROR, "survived"


@case(honest=True)
def continuation_flood(server):
    client = h2_connect(server)
    send(client, frame(HEADERS, END_STREAM, 1, block()))
    for _ in range(2000):
        if not send(client, frame(CONTINUATION, 0, 1, literal("a", "b") * 100)):
            break
    assert ended_with(drain(client), CALM)


@case(honest=True)
def hpack_bomb(server):
    """A large entry of the table, used 4,000 times in a block."""
    client = h2_connect(server)
    send(client, frame(HEADERS, END_STREAM | END_HEADERS, 1, block() + literal("a", "b" * 3900, 0x40) + b"\xbe" * 4000))
    answer = drain(client)
    assert answer is not None and goaways(answer), "survived"


@case(honest=True)
def table_size_churn(server):
    churn = b"\x20" + b"\x3f\xe1\x1f"  # to 0, to 4096
    data = b"".join(frame(HEADERS, END_STREAM | END_HEADERS, i, churn + block() + literal("a%d" % i, "b" * 300, 0x40))
                    for i in range(1, 161, 2))
    client = h2_connect(server)
    send(client, data)
    wait_for(lambda: not is_open(client), 0.5)
    client.close()


@case(honest=True)
def settings_flood(server):
    assert flood(server, settings((3, 100), (4, 65535)) * 500, 200, buffer=4096) is not None


@case(honest=True)
def ping_flood(server):
    assert flood(server, frame(PING, 0, 0, b"12345678") * 500, 2000, buffer=4096) is not None


@case(honest=True)
def empty_frames_flood(server):
    client = h2_connect(server)
    send(client, head(1, "/body", "POST", flags=END_HEADERS) + frame(DATA, 0, 1) * 20000)
    assert ended_with(drain(client), CALM)


@case(honest=True)
def unknown_frames_flood(server):
    assert flood(server, frame(200, 0, 0, b"x" * 1000) * 100, 200) is not None


@case(honest=True)
def priority_churn(server):
    update = frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", 1) + b"u=1")
    data = (frame(PRIORITY, 0, 3, struct.pack(">IB", 5, 9)) + update) * 500
    assert flood(server, head(1, "/big.bin") + data, 500) is not None


@case
def stream_ids_run_out(server):
    client = h2_connect(server)
    send(client, head(ALL_STREAMS))
    send(client, head(1))  # RFC 9113 5.1.1: there is no way back
    got = drain(client)
    assert goaways(got) and goaways(got)[-1][0] == ALL_STREAMS, goaways(got)
    assert not any(f[0] == HEADERS and f[2] == 1 for f in frames(got))


def wait_for_end(client, stream):
    """What came, up to the end of that stream."""
    got = b""
    while struct.pack(">BBI", DATA, END_STREAM, stream) not in got:
        piece = client.recv(1 << 16)
        assert piece, ("closed before the end of", stream, goaways(got))
        got += piece
    return got


@case(honest=True)
def ten_thousand_streams(server):
    """More than one connection may have: the server says so while it answers, and nothing is lost."""
    client = h2_connect(server)
    answers, stream, told = b"", 1, False
    while stream < 30000 and not told:
        send(client, b"".join(head(i) for i in range(stream, stream + 100, 2)))
        stream += 100
        answers = wait_for_end(client, stream - 2)
        told = goaways(answers) != []
    assert told and 20000 <= stream <= 20200, stream
    rest = drain(client)
    assert goaways(rest) == [(stream - 2, NO_ERROR)], rest


@case(honest=True)
def shut_windows(server):
    """A hundred answers nobody takes, on each connection, and PING to look alive. Each ends by the time-out."""
    clients = [h2_connect(server, (4, 0)) for _ in range(20)]
    start = time.monotonic()
    for client in clients:
        send(client, b"".join(head(i, "/big.bin") for i in range(1, 201, 2)))
    resets = 0
    got = b""
    clients[0].settimeout(0.5)
    while resets < 100 and time.monotonic() - start < SECONDS:
        send(clients[0], frame(PING, 0, 0, b"12345678"))
        try:
            got += clients[0].recv(1 << 16)
        except TimeoutError:
            pass
        resets = sum(f[0] == RST_STREAM for f in frames(got))
    assert resets == 100, resets
    assert time.monotonic() - start > SEND - 0.5
    close_all(clients)


@case(honest=True, memory=40)
def shut_connection_window(server):
    """Windows of streams are open, the connection's is shut: what waits for it costs little memory."""
    clients = [h2_connect(server, (4, 1 << 20)) for _ in range(40)]
    for client in clients:
        send(client, b"".join(head(i, "/big.bin") for i in range(1, 201, 2)))
    time.sleep(1)  # a chunk for each stream would be 256 MB
    close_all(clients)


@case(honest=True)
def shut_windows_of_pages(server):
    """Of a page that is made while it is sent nothing is made ahead, whichever window is shut."""
    for window in 0, 1 << 20:
        clients = [h2_connect(server, (4, window)) for _ in range(10)]
        for client in clients:
            send(client, b"".join(head(i, "/page.html") for i in range(1, 201, 2)))
        time.sleep(0.3)
        opened = head(201, "/page.html") + number(WINDOW_UPDATE, 1, 1 << 20) + number(WINDOW_UPDATE, 0, 1 << 20)
        send(clients[0], opened)
        got = b""
        while b"made</p>" not in got or got.count(b"y") < PAGE_BYTES:
            piece = clients[0].recv(1 << 16)
            assert piece
            got += piece
        close_all(clients)


@case(honest=True)
def tiny_windows(server):
    clients = [h2_connect(server, (4, 1)) for _ in range(10)]
    for client in clients:
        send(client, b"".join(head(i, "/big.bin") for i in range(1, 201, 2)))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for client in clients:
            send(client, b"".join(number(WINDOW_UPDATE, i, 1) for i in range(1, 201, 2)))
    close_all(clients)


@case
def two_bodies_nobody_wants(server):
    """Of two connections, both unfinished, in either order of leaving."""
    for order in (0, 1), (1, 0):
        clients = []
        for _ in range(2):
            client = h2_connect(server)
            send(client, head(1, "/", "POST", ("content-length", "10"), flags=END_HEADERS))
            time.sleep(0.1)
            clients.append(client)
        for i in order:
            clients[i].close()
            time.sleep(0.1)
        assert server.get()[0] == 200


@case(honest=True, memory=32)
def bodies_that_do_not_come(server):
    """Scripts that wait for them must not keep those of other requests from running."""
    clients = [h2_connect(server) for _ in range(10)]
    for client in clients:
        send(client, b"".join(head(i, "/body", "POST", flags=END_HEADERS) for i in range(1, 201, 2)))
    got = b""
    clients[0].settimeout(SECONDS)
    while sum(f[0] == HEADERS for f in frames(got)) < 100:
        piece = clients[0].recv(1 << 16)
        assert piece
        got += piece
    close_all(clients)


@case
def head_that_does_not_end(server):
    client = h2_connect(server)
    start = time.monotonic()
    send(client, frame(HEADERS, END_STREAM, 1, block()))
    assert drain(client) is not None
    assert time.monotonic() - start > HEADER - 0.5


@case
def ping_does_not_prolong(server):
    client = h2_connect(server)
    start = time.monotonic()
    got = b""
    client.settimeout(0.4)
    while True:
        assert time.monotonic() - start < SECONDS, "still there"
        send(client, frame(PING, 0, 0, b"12345678"))
        try:
            piece = client.recv(1 << 16)
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
        if not piece:
            break
        got += piece
    assert goaways(got) == [(0, NO_ERROR)], goaways(got)
    assert time.monotonic() - start > IDLE - 0.5


@case
def who_asks_is_not_idle(server):
    """Requests that are answered at once keep a connection open, however old the first of them is."""
    client = h2_connect(server)
    start = time.monotonic()
    stream = 1
    while time.monotonic() - start < IDLE + 1:
        send(client, head(stream))
        got = wait_for_end(client, stream)
        assert goaways(got) == [], goaways(got)
        stream += 2
        time.sleep(0.25)
    client.close()


@case
def who_is_not_heard_is_not_idle(_):
    """A server that was stopped for longer than clients may idle listens before it closes."""
    server = Server("--idle-timeout", "1")
    h1, h2 = server.connect(request()), h2_connect(server)
    send(h2, head(1))
    wait_for_end(h2, 1)
    assert h1.recv(1 << 16).startswith(b"HTTP/1.1 200")
    server.pause()
    h1.sendall(request("/", "Connection: close"))
    send(h2, head(3))
    time.sleep(1.5)
    os.kill(server.process.pid, signal.SIGCONT)
    assert goaways(wait_for_end(h2, 3)) == []
    assert drain(h1).endswith(SMALL)
    assert goaways(drain(h2))[-1] == (3, NO_ERROR), "and then it is idle"
    server.stop()


@case
def the_end_comes_in_two_steps(_):
    """SIGTERM: a stream that crosses the first GOAWAY is answered; the second one names it."""
    server = Server()
    client = h2_connect(server)
    send(client, head(1))
    got = wait_for_end(client, 1)
    server.process.send_signal(signal.SIGTERM)
    while goaways(got) == []:
        got += client.recv(1 << 16)
    send(client, head(3))
    got += drain(client)
    assert goaways(got) == [(ALL_STREAMS, NO_ERROR), (3, NO_ERROR)], goaways(got)
    assert struct.pack(">BBI", DATA, END_STREAM, 3) in got
    client.close()
    assert server.process.wait(SECONDS) == 0


@case
def connections_grow_old(_):
    server = Server("--connection-age", "1")
    client = h2_connect(server)
    plain = server.connect(request())
    time.sleep(1.2)
    send(plain, request())
    answers = drain(plain)
    assert answers.count(b"HTTP/1.1 200") == 2 and answers.lower().count(b"connection: close") == 1
    send(client, head(1))
    got = drain(client)
    assert goaways(got) == [(ALL_STREAMS, NO_ERROR), (1, NO_ERROR)], goaways(got)
    assert struct.pack(">BBI", DATA, END_STREAM, 1) in got
    close_all([client, plain])
    assert server.stop() == 0


if __name__ == "__main__":
    write("site/index.html", SMALL)
    write("site/page.html", b"<p><zs-meta>word</zs-meta></p>" + b"y" * PAGE_BYTES)
    write("site/big.bin", b"%08d" % 0 * (BIG_BYTES // 8))
    write("site/.zeroserve/scripts/attacked.c", SCRIPT)
    sys.exit(run(Server("--header-timeout", str(HEADER), "--idle-timeout", str(IDLE), "--body-timeout", str(BODY),
                        "--send-timeout", str(SEND), "--drain-timeout", "3", "--disable-request-logging")))
