# SPDX-License-Identifier: Apache-2.0
"""What all cases of proxy.py share: the count, the server under test, requests in one call."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from peers import H1, H2, SECONDS

BUILD = os.path.abspath(sys.argv[1])
WORK = tempfile.TemporaryDirectory()
CLIENTS = (H1, H2)
cases = []


class counts:
    passed = failed = 0


# The client says in x-to who is to answer, in x-key what for, and in x-hook that a script shall look at the answer for
# longer than one turn. With x-guard the script alone says who the user is.
SCRIPT = r"""
#include <zeroserve.h>
static char to[4096];
static char key[64];

ZS_CALL_ENTRY(look, input)
{
    for (volatile zs_u64 i = 0; i < 3000000; i++) {
    }
    zs_res_add_header(ZS_STR("x-looked"), ZS_STR("yes"));
    return input;
}

ZS_ENTRY zs_u64 entry(void)
{
    zs_s64 bytes = zs_req_header(ZS_STR("x-to"), to, sizeof to);
    if (bytes > 0) {
        zs_reverse_proxy(to, (zs_u64)bytes);
        bytes = zs_req_header(ZS_STR("x-key"), key, sizeof key);
        if (bytes > 0)
            zs_upstream_hash(key, (zs_u64)bytes);
        if (zs_req_header(ZS_STR("x-hook"), key, sizeof key) > 0)
            zs_res_hook("", 0, ZS_STR("look"), zs_json_new_object());
        if (zs_req_header(ZS_STR("x-guard"), key, sizeof key) > 0) {
            zs_req_set_header(ZS_STR("X-User"), ZS_STR("nobody"));
            zs_req_delete_header(ZS_STR("x-role-*"));
        }
    }
    return 0;
}
"""


def check(name, got, wanted):
    if got == wanted:
        counts.passed += 1
        print("ok   " + name)
    else:
        counts.failed += 1
        print("FAIL %s\n     got    %.600r\n     wanted %.600r" % (name, got, wanted))


def case(function):
    cases.append(function)
    return function


def eventually(test, seconds=SECONDS):
    """Whether the test is true sooner or later."""
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def still(value):
    """What value() is once it changes no more."""
    last = None
    while value() != last:
        last = value()
        time.sleep(0.3)
    return last


class Server:
    """One that is started; `main` is what cases use that need no other."""

    main = None

    def __init__(self, *arguments, env=None, script="proxy.c"):
        self.log_path = os.path.join(WORK.name, "log-%d" % id(self))
        self.log = open(self.log_path, "w")
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "zeroserve"), "--addr", "127.0.0.1:0", "--threads", "1", *arguments,
             os.path.join(WORK.name, script)], stderr=self.log, env=dict(os.environ, **(env or {})))
        eventually(lambda: "listening on" in self.text() or self.process.poll() is not None)
        self.port = int(re.search(r"http://127\.0\.0\.1:(\d+)", self.text()).group(1))

    def text(self):
        with open(self.log_path) as log:
            return log.read()

    def resident(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1)) << 10

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def pause(self):
        """Stops it until SIGCONT; returns when it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "did not end"


def ask(client, upstream, method="GET", path="/", fields=(), body=None, length=None, port=None):
    """One request on a connection of its own."""
    url = upstream if isinstance(upstream, str) else upstream.url
    peer = client(port or Server.main.port)
    try:
        peer.start(method, path, [("x-to", url), *fields], body, length)
        return peer.response()
    finally:
        peer.close()


def raw_head(*lines):
    return "\r\n".join(("HTTP/1.1 200 OK",) + lines + ("", "")).encode()


def prepare():
    with open(os.path.join(WORK.name, "proxy.c"), "w") as script:
        script.write(SCRIPT)
    Server.main = Server()
