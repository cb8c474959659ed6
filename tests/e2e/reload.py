# SPDX-License-Identifier: Apache-2.0
"""SIGHUP swaps site, scripts and certificate in one step: under load no request fails, none sees a
mixture of two versions, and nothing is leaked. A reload that fails changes nothing.

Prints a line for each case and `N passed, N failed` at the end.
RELOADS: how many under load (default 60).
usage: reload.py BUILD_FOLDER
"""

import http.client
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

BUILD = os.path.abspath(sys.argv[1])
SERVER = os.path.join(BUILD, "zeroserve")
RELOADS = int(os.environ.get("RELOADS", "60"))
WORK = tempfile.TemporaryDirectory()
passed = failed = 0


def check(name, got, wanted=True):
    global passed, failed
    if got == wanted:
        passed += 1
        print("ok   " + name)
    else:
        failed += 1
        print("FAIL %s\n     got    %r\n     wanted %r" % (name, got, wanted))


def path(name):
    return os.path.join(WORK.name, name)


def write(name, data):
    os.makedirs(os.path.dirname(path(name)), exist_ok=True)
    with open(path(name), "wb") as file:
        file.write(data)


def make_site(version):
    """A tar whose file, its size and the script's field all tell the version."""
    script = """#include <zeroserve.h>
ZS_ENTRY zs_u64 entry(void)
{
    zs_res_add_header(ZS_STR("version"), ZS_STR("%d"));
    return 0;
}
""" % version
    write("v%d/.zeroserve/scripts/version.c" % version, script.encode())
    write("v%d/file.txt" % version, b"version %d\n" % version + b"%d" % version * (90000 * version))
    tar = path("v%d.tar" % version)
    with open(tar, "wb") as out:
        subprocess.run([SERVER, "--pack", path("v%d" % version)], stdout=out, check=True)
    return tar


def make_certificate(name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=" + name,
                    "-keyout", path(name + ".key"), "-out", path(name + ".pem")],
                   check=True, stderr=subprocess.DEVNULL)


def install(source, target):
    """As a site is replaced: by rename."""
    temporary = path("new")
    with open(path(source), "rb") as read, open(temporary, "wb") as out:
        out.write(read.read())
    os.rename(temporary, path(target))


def log_text():
    with open(path("log")) as file:
        return file.read()


def wait_for(pattern, count=1):
    for _ in range(600):
        found = re.findall(pattern, log_text())
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise SystemExit("the log lacks %r:\n%s" % (pattern, log_text()[-2000:]))


def get(connection):
    connection.request("GET", "/file.txt")
    answer = connection.getresponse()
    body = answer.read()
    version = int(answer.getheader("version", "0"))
    whole = b"version %d\n" % version + b"%d" % version * (90000 * version)
    return version, answer.status == 200 and body == whole


class Client(threading.Thread):
    """Asks until it is told to stop, on connections that it keeps for a while."""

    def __init__(self, connect):
        super().__init__(daemon=True)
        self.connect = connect
        self.ending = False
        self.versions = set()
        self.wrong = []
        self.answers = 0

    def run(self):
        while not self.ending:
            connection = self.connect()
            try:
                for _ in range(200):
                    version, fine = get(connection)
                    self.versions.add(version)
                    self.answers += 1
                    if not fine:
                        self.wrong.append(version)
                    if self.ending:
                        break
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
            connection.close()


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def plain():
    return http.client.HTTPConnection("127.0.0.1", HTTP, timeout=30)


def secure():
    return http.client.HTTPSConnection("127.0.0.1", HTTPS, timeout=30, context=tls_context())


def certificate_name():
    pem = ssl.get_server_certificate(("127.0.0.1", HTTPS))
    text = subprocess.run(["openssl", "x509", "-noout", "-subject"], input=pem, text=True,
                          capture_output=True, check=True).stdout
    return text.strip().replace(" ", "").rpartition("=")[2]


def usage():
    """Descriptors and resident KiB of the server."""
    with open("/proc/%d/status" % server.pid) as file:
        kib = int(re.search(r"VmRSS:\s*(\d+)", file.read()).group(1))
    return len(os.listdir("/proc/%d/fd" % server.pid)), kib


def reload_once(version, certificate):
    done = len(re.findall(r"^reloaded$", log_text(), re.M))
    install("v%d.tar" % version, "site.tar")
    install(certificate + ".pem", "cert.pem")
    install(certificate + ".key", "cert.key")
    server.send_signal(signal.SIGHUP)
    wait_for(r"(?m)^reloaded$", done + 1)


class Http2(threading.Thread):
    """Rounds of h2load, by TLS, until it is told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.ending = False
        self.results = []

    def run(self):
        while not self.ending:
            output = subprocess.run(["h2load", "-n", "300", "-c", "3", "-m", "5",
                                     "https://127.0.0.1:%d/file.txt" % HTTPS],
                                    capture_output=True, text=True).stdout
            self.results += re.findall(r"requests: (\d+) total, .* (\d+) succeeded", output)


def under_load():
    clients = [Client(plain), Client(plain), Client(secure)]
    http2 = Http2()
    for client in clients:
        client.start()
    http2.start()
    for i in range(10):
        reload_once(1 + i % 2, "ab"[i % 2])
    before = usage()
    for i in range(RELOADS):
        reload_once(1 + i % 2, "ab"[i % 2])
    time.sleep(0.3)
    after = usage()
    for client in clients:
        client.ending = True
    http2.ending = True
    for client in clients:
        client.join()
    http2.join()
    check("nor did any of HTTP/2", (len(http2.results) > 0, [r for r in http2.results if r[0] != r[1]]),
          (True, []))
    answers = sum(client.answers for client in clients)
    check("no request of %d failed or was mixed while %d reloads ran" % (answers, RELOADS),
          [w for client in clients for w in client.wrong][:5], [])
    check("both versions were served", set().union(*(c.versions for c in clients)), {1, 2})
    check("descriptors do not grow (%d, %d)" % (before[0], after[0]), after[0] <= before[0] + 4)
    check("memory does not grow (%d KiB, %d KiB)" % (before[1], after[1]),
          SANITIZED or after[1] < before[1] + 12288)


def one_step():
    reload_once(1, "a")
    check("the certificate before", certificate_name(), "a")
    old = plain()
    check("an old connection, before", get(old), (1, True))
    reload_once(2, "b")
    check("an old connection, after", get(old), (2, True))
    check("a new connection", get(plain()), (2, True))
    check("the certificate after", certificate_name(), "b")


def failures():
    for name, data, target in (("bad.tar", b"this is no tar\n" * 100, "site.tar"),
                               ("bad.pem", b"this is no certificate\n", "cert.pem")):
        reload_once(2, "b")
        write(name, data)
        install(name, target)
        failed_before = len(re.findall("reload failed", log_text()))
        server.send_signal(signal.SIGHUP)
        wait_for("reload failed", failed_before + 1)
        check("a bad %s changes nothing" % target, get(plain()), (2, True))
        check("nor the certificate", certificate_name(), "b")
        check("and the log says why", target in log_text().rpartition("reload failed")[0].splitlines()[-1])


def by_file():
    reload_once(1, "a")
    done = len(re.findall(r"(?m)^reloaded$", log_text()))
    install("v2.tar", "site.tar")
    write("signal", b"now")
    wait_for(r"(?m)^reloaded$", done + 1)
    check("--reload-signal-file", get(plain()), (2, True))


SANITIZED = b"__asan_init" in open(SERVER, "rb").read() or b"__tsan_init" in open(SERVER, "rb").read()
for number in (1, 2):
    make_site(number)
for letter in "ab":
    make_certificate(letter)
install("v1.tar", "site.tar")
install("a.pem", "cert.pem")
install("a.key", "cert.key")
with open(path("log"), "w") as log:
    server = subprocess.Popen(
        [SERVER, "--addr", "127.0.0.1:0", "--tls-addr", "127.0.0.1:0", "--cert", path("cert.pem"), "--key",
         path("cert.key"), "--threads", "2", "--disable-request-logging", "--reload-signal-file",
         path("signal"), path("site.tar")], stderr=log)
try:
    HTTPS = int(wait_for(r"listening on https://127\.0\.0\.1:(\d+)")[0])
    HTTP = int(wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[0])
    one_step()
    under_load()
    failures()
    by_file()
    server.send_signal(signal.SIGTERM)
    check("a clean stop", server.wait(40), 0)
finally:
    if server.poll() is None:
        server.kill()
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed != 0)
