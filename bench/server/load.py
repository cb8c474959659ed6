# SPDX-License-Identifier: Apache-2.0
"""The clients: each drives one server for a while and says what was answered."""
import http.client
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import time

from servers import HERE, LOAD_CORE, cpu_between, on_core

SUITE = 'TLS_AES_128_GCM_SHA256'
PROBES = 8
OPENSSL = f'''openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = {SUITE}
Groups = X25519
'''


class Load:
    """Settings that all clients share. `programs`: the folder of what was built for this. `quick`: so many requests and
    no more, by h2load alone."""

    def __init__(self, folder, programs, seconds, quick=0, cores=(LOAD_CORE,)):
        self.folder, self.seconds, self.quick, self.cores = pathlib.Path(folder), seconds, quick, cores
        self.turns = pathlib.Path(programs) / 'turns'
        config = self.folder / 'openssl.cnf'
        config.write_text(OPENSSL)
        self.env = dict(os.environ, OPENSSL_CONF=str(config))
        self.wrk = None if quick else shutil.which('wrk')

    def run(self, command, meter, env=None):
        """What a client prints. The meter runs while the client does, or between two lines of it about warming up."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   env=env or self.env, preexec_fn=on_core(self.cores), text=True, errors='replace')
        lines = []
        meter.begin()
        for line in process.stdout:
            if 'Warm-up phase is over' in line:
                meter.begin()
            elif 'Main benchmark duration is over' in line:
                meter.end()
            lines.append(line)
        text = ''.join(lines)
        if process.wait():
            raise SystemExit(f'{command[0]}: exit status {process.returncode}\n{text[-2000:]}')
        meter.end()
        return text

    def whole_seconds(self):
        return max(1, round(self.seconds))

    def timing(self):
        """What h2load measures, and what it does not: handshakes and the first requests."""
        warm_up = max(150, min(500, round(500 * self.seconds)))
        return [f'-D{round(1000 * self.seconds)}ms', f'--warm-up-time={warm_up}ms']

    def http(self, url, work, meter):
        """Requests answered by one of the two load generators. h2load leaves the handshakes out of what is measured; wrk
        has one sequence of paths for all its connections."""
        if work.zipf and self.wrk:
            return self.by_wrk(url, work, meter)
        return self.by_h2load(url, work, meter)

    def by_wrk(self, url, work, meter):
        env = dict(self.env, ZIPF_PATHS=str(self.folder / 'zipf.paths'))
        command = [self.wrk, '-t1', f'-c{work.clients}', f'-d{self.whole_seconds()}s', '-s', str(HERE / 'zipf.lua'), url]
        text = self.run(command, meter, env)
        bad = re.search(r'Non-2xx.*|Socket errors.*', text)
        if bad:
            raise SystemExit(f'{meter.server.name}, {url}: {bad.group(0)}')
        return int(re.search(r'(\d+) requests in', text).group(1))

    def h2load(self, work, clients):
        """The beginning of its command."""
        program = shutil.which('h2load')
        if not program:
            raise SystemExit('bench: h2load is not installed')
        h1 = work.load == 'h1'
        command = [program, '-t1', f'-c{clients}', f'-m{1 if h1 else work.streams}', f'--tls13-ciphers={SUITE}']
        return command + (['--h1'] if h1 else [])

    def by_h2load(self, url, work, meter):
        command = self.h2load(work, min(work.clients, work.few or work.clients) if self.quick else work.clients)
        command += [f'-n{work.few or self.quick}'] if self.quick else self.timing()
        if work.zipf:
            source = self.folder / 'zipf.urls'
            paths = (self.folder / 'zipf.paths').read_text().split()
            source.write_text(''.join(f'{url}{path}\n' for path in paths))
            command += [f'-i{source}']
        else:
            command += [url]
        text = self.run(command, meter)
        done, good = outcome(text)
        failed = int(done.group(3)) if self.quick else 0  # at the end of the time, some are under way
        if failed or good.group(1) == '0' or any(int(good.group(i)) for i in (2, 3, 4)):
            raise SystemExit(f'{meter.server.name}, {url}: {done.group(0)}; {good.group(0)}')
        return int(good.group(1))

    def by_turns(self, servers, work):
        """Results of each server, turn by turn, by a client of our own: turns.c."""
        scheme = 'https' if work.secure else 'http'
        seconds = 0 if self.quick else self.seconds * len(servers)
        command = [str(self.turns), scheme, work.path, str(work.clients), str(work.turn), str(seconds)]
        command += [f'{s.port(work.secure)}:{",".join(map(str, s.pids()))}' for s in servers]
        process = subprocess.run(command, capture_output=True, text=True, env=self.env, preexec_fn=on_core(self.cores), check=False)
        if process.returncode:
            raise SystemExit(f'{work.title}: {process.stderr.strip()}')
        results = [[] for _ in servers]
        for which, cpu_ns, wall_ns in (map(int, line.split()) for line in process.stdout.splitlines()):
            results[which].append({'count': work.turn, 'rate': work.turn * 1e9 / wall_ns, 'cpu_us': cpu_ns / 1000 / work.turn})
        return results

    def probe(self, url, work, server, length):
        """Some requests as they will be measured: the protocol that was agreed on, the status, the bytes of the bodies."""
        text = self.run(self.h2load(work, 1) + [f'-n{PROBES}', url], Meter(server))
        wanted = ['TLSv1.3', SUITE, 'X25519', 'h2' if work.load == 'h2' else 'http/1.1'] if work.secure else ['http/1.1']
        agreed = re.findall(r'^(?:TLS Protocol|Cipher|Server Temp Key|Application protocol): (\S+)', text, re.M)
        done, good = outcome(text)
        octets = re.search(r'\((\d+)\) data$', text, re.M).group(1)
        if agreed != wanted or good.group(1) != str(PROBES) or int(octets) != PROBES * length:
            raise SystemExit(f'{server.name}, {url}: {", ".join(agreed)}; {done.group(0)}; {good.group(0)}; '
                             f'{octets} bytes of data, not {PROBES} x {length}')

    def handshakes(self, port, path, resumed, meter):
        """Connections made one after the other, each with one request."""
        text = self.run(['openssl', 's_time', '-connect', f'127.0.0.1:{port}', '-reuse' if resumed else '-new',
                         '-time', str(self.whole_seconds()), '-www', path, '-tls1_3', '-ciphersuites', SUITE], meter)
        marks = re.findall(r'^[*rtR]+', text, re.M)
        count = max(map(len, marks), default=0)
        if count == 0 or (resumed and not any(m.startswith('r') for m in marks)):
            raise SystemExit(f'openssl s_time: no {"resumed " if resumed else ""}handshakes\n{text[-2000:]}')
        return count + (1 if resumed else 0)


def outcome(text):
    """What h2load says about requests, and about status codes."""
    return (re.search(r'(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored', text),
            re.search(r'status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx', text))


def context(alpn):
    client = ssl.create_default_context()
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_alpn_protocols([alpn])
    return client


def fetch(port, secure, path):
    """One answer: status, body."""
    if secure:
        connection = http.client.HTTPSConnection('127.0.0.1', port, timeout=20, context=context('http/1.1'))
    else:
        connection = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    try:
        connection.request('GET', path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class Meter:
    """Time and processor time of one server between begin() and the first end() after it."""

    def __init__(self, server):
        self.server, self.elapsed = server, None

    def begin(self):
        self.before, self.start = self.server.cpu(), time.monotonic()

    def end(self):
        if self.elapsed is None:
            self.elapsed, self.used = time.monotonic() - self.start, cpu_between(self.before, self.server.cpu())


def measure(server, action):
    """Runs `action` with a meter; it returns a count. Gives counts a second and processor microseconds for each."""
    meter = Meter(server)
    count = action(meter)
    return {'count': count, 'rate': count / meter.elapsed, 'cpu_us': meter.used / 1000 / max(count, 1)}
