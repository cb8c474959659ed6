# SPDX-License-Identifier: Apache-2.0
"""Request bodies on their way to scripts: every framing, cut at every byte, asked for and not.

Prints a line for each case and `N passed, N failed` at the end. Only the standard library is used.
usage: bodies.py BUILD_FOLDER
"""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(sys.argv[1])
WORK = tempfile.TemporaryDirectory()
LIMIT = 256 << 10
passed = failed = 0

SCRIPT = r"""
#include <zeroserve.h>
static char path[64];
static char body[300 * 1024];
static unsigned char hash[32];
static char hex[65];

ZS_ENTRY zs_u64 entry(void)
{
    zs_req_path(path, sizeof path);
    if (zs_strcmp(path, "/hash") == 0) {
        zs_s64 length = zs_req_body(body, sizeof body);
        if (length < 0) {
            zs_respond(413, ZS_STR("too long\n"));
            return 0;
        }
        zs_sha256(body, (zs_u64)length, hash, sizeof hash);
        zs_respond(200, hex, (zs_u64)zs_hex_encode(hash, sizeof hash, hex, sizeof hex, 0));
    } else if (zs_strcmp(path, "/piece") == 0) {
        zs_s64 length = zs_req_body(body, 4);
        zs_utoa10((unsigned)length, body + 5, 20);
        body[4] = ' ';
        zs_respond(200, ZS_STR(body));
    } else if (zs_strcmp(path, "/json") == 0) {
        zs_s64 value = zs_req_body_json();
        if (value < 0)
            zs_respond(400, ZS_STR("no JSON\n"));
        else
            zs_json_respond(200, value);
    }
    return 0;
}
"""


def check(name, got, wanted):
    global passed, failed
    if got == wanted:
        passed += 1
        print("ok   " + name)
    else:
        failed += 1
        print("FAIL %s\n     got    %r\n     wanted %r" % (name, got, wanted))


def start():
    script = os.path.join(WORK.name, "body.c")
    with open(script, "w") as file:
        file.write(SCRIPT)
    log = open(os.path.join(WORK.name, "log"), "w+")
    process = subprocess.Popen([os.path.join(BUILD, "zeroserve"), "--addr", "127.0.0.1:0",
                                "--threads", "1", script], stderr=log)
    for _ in range(400):
        with open(log.name) as reader:
            text = reader.read()
        found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", text)
        if found:
            return process, int(found.group(1))
        time.sleep(0.05)
    raise SystemExit("the server does not listen: " + text)


def connect():
    client = socket.create_connection(("127.0.0.1", PORT), timeout=30)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def answer(client):
    """(status, body) of the next answer; (0, b"") at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(1)
        if not piece:
            return 0, b""
        data += piece
    head = data.decode("latin-1")
    length = re.search(r"content-length: *(\d+)", head, re.I)
    body = b""
    while length and len(body) < int(length.group(1)):
        body += client.recv(int(length.group(1)) - len(body))
    return int(head.split(" ")[1]), body


def head(path, *fields):
    return ("POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n" %
            (path, "".join(f + "\r\n" for f in fields))).encode()


def exchange(*pieces):
    with connect() as client:
        for piece in pieces:
            client.sendall(piece)
        return answer(client)


def chunked(*chunks):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def digest(data):
    return hashlib.sha256(data).hexdigest().encode()


def lengths():
    for size in (0, 1, 4096, 65536, 100000, LIMIT):
        body = os.urandom(size)
        check("a body of %d bytes" % size,
              exchange(head("/hash", "Content-Length: %d" % size) + body), (200, digest(body)))
        check("the same in chunks",
              exchange(head("/hash", "Transfer-Encoding: chunked"),
                       chunked(*[body[i:i + 7777] for i in range(0, size, 7777)])),
              (200, digest(body)))
    check("no body at all", exchange(head("/hash")), (200, digest(b"")))
    check("one byte more than scripts may have",
          exchange(head("/hash", "Content-Length: %d" % (LIMIT + 1)), bytes(LIMIT + 1))[0], 413)
    check("the same in chunks",
          exchange(head("/hash", "Transfer-Encoding: chunked"), chunked(bytes(LIMIT + 1)))[0], 413)
    check("length and first bytes", exchange(head("/piece", "Content-Length: 9") + b"abcdefghi"),
          (200, b"abcd 9"))


def cuts():
    whole = head("/hash", "Transfer-Encoding: chunked") + chunked(b"hello", b" ", b"world")
    wrong = []
    for cut in range(1, len(whole)):
        with connect() as client:
            client.sendall(whole[:cut])
            time.sleep(0.002)
            client.sendall(whole[cut:] + b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n")
            if answer(client) != (200, digest(b"hello world")) or answer(client)[0] != 404:
                wrong.append(cut)
    check("chunks cut at every byte, and a request behind", wrong, [])


def expectations():
    with connect() as client:
        client.sendall(head("/hash", "Content-Length: 5", "Expect: 100-continue"))
        check("Expect: 100 comes when a script wants the body", answer(client), (100, b""))
        client.sendall(b"12345")
        check("Expect: the answer", answer(client), (200, digest(b"12345")))
        client.sendall(head("/hash", "Content-Length: 1") + b"x")
        check("Expect: the connection goes on", answer(client), (200, digest(b"x")))
    with connect() as client:
        client.sendall(head("/none", "Content-Length: 5", "Expect: 100-continue"))
        check("Expect: none when nobody wants it", answer(client)[0], 405)
        check("Expect: then the connection ends", client.recv(1), b"")


def malformed():
    check("a bad chunk size", exchange(head("/hash", "Transfer-Encoding: chunked"), b"xyz\r\n")[0], 400)
    check("a chunk without its end",
          exchange(head("/hash", "Transfer-Encoding: chunked"), b"3\r\nabcd\r\n")[0], 400)
    with connect() as client:
        client.sendall(head("/hash", "Content-Length: 5") + b"123")
        client.shutdown(socket.SHUT_WR)
        check("a body cut off", answer(client), (0, b""))


def texts():
    value = {"a": [1, 2, {"b": "c"}]}
    text = json.dumps(value).encode()
    status, body = exchange(head("/json", "Content-Length: %d" % len(text)) + text)
    check("JSON", (status, json.loads(body)), (200, value))
    for bad in (b"", b"{", b"[1,]"):
        check("not JSON: %r" % bad,
              exchange(head("/json", "Content-Length: %d" % len(bad)) + bad)[0], 400)


def stalled():
    """While bodies stall, others are served; clients that leave are forgotten."""
    stalls = [connect() for _ in range(50)]
    for client in stalls:
        client.sendall(head("/hash", "Content-Length: 100000") + b"start")
    check("another is served meanwhile",
          exchange(head("/hash", "Content-Length: 2") + b"ok"), (200, digest(b"ok")))
    for client in stalls:
        client.close()
    check("and after they left",
          exchange(head("/hash", "Content-Length: 2") + b"ok"), (200, digest(b"ok")))


process, PORT = start()
try:
    for group in (lengths, cuts, expectations, malformed, texts, stalled):
        group()
    process.send_signal(signal.SIGTERM)
    check("a clean stop", process.wait(40), 0)
finally:
    if process.poll() is None:
        process.kill()
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed != 0)
