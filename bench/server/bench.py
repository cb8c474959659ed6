#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The server benchmark: this server and others in the same workloads on this machine, by turns.

The figure is the processor time of the server's processes for each request. Each server has one worker on one core; what
asks, and the backend of proxies, are on the other. README.md, one folder up, says how it measures.
"""
import argparse
import os
import pathlib
import platform
import shutil
import signal
import sys
import tempfile

sys.dont_write_bytecode = True

import idle  # noqa: E402
import load  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
import workloads  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--build', default='build/release', help='folder with the program zeroserve [%(default)s]')
    parser.add_argument('--only', default='', metavar='WORD,...', help='workloads whose names contain one of these')
    parser.add_argument('--rounds', type=int, default=5, help='turns of each server [%(default)s]')
    parser.add_argument('--seconds', type=float, default=2, help='of each turn [%(default)s]; many short ones bear with a busy machine')
    parser.add_argument('--nice', type=int, default=0, help='run at this priority, as root: -20 is the highest [%(default)s]')
    parser.add_argument('--quick', action='store_true', help='one round of a few hundred requests: does it work?')
    parser.add_argument('--servers', default='', metavar='NAME,...', help='these servers and no others')
    parser.add_argument('--out', default='', metavar='DIR', help='folder for server.json and server.png [BUILD/bench]')
    parser.add_argument('--list', action='store_true', help='list the workloads')
    return parser.parse_args()


class Bench:
    """The run: options, scratch folder, and what was found."""

    def __init__(self, options, folder):
        self.options, self.folder = options, pathlib.Path(folder)
        self.quick = 200 if options.quick else 0
        programs = os.path.join(options.build, 'bench')
        self.load = load.Load(folder, programs, options.seconds if not options.quick else 1, self.quick)
        self.wide = load.Load(folder, programs, self.load.seconds, self.quick, range(os.cpu_count() or 1))
        self.lab = servers.Lab(folder, os.path.abspath(os.path.join(options.build, 'zeroserve')))
        self.items = {}
        self.backend = None
        self.lab.certificate()

    def site(self, work):
        """The folder of the site, made when it is first wanted."""
        root = self.folder / ('many' if work.zipf else 'site')
        if not root.exists():
            workloads.make_site(root, self.folder / 'zipf.paths' if work.zipf else None)
        return root

    def backend_port(self, root):
        """What proxies ask: nginx, or this server when it is missing."""
        if not self.backend:
            cores = (servers.LOAD_CORE,)
            try:
                if self.options.servers and 'nginx' not in self.options.servers.split(','):
                    raise servers.Missing
                self.backend = self.lab.start('nginx', root, ('file',), cores=cores)
            except servers.Missing:
                self.backend = self.lab.start('zeroserve', root, (), cores=cores)
        return self.backend.plain

    def wanted(self, entry):
        return not self.options.servers or entry.server in self.options.servers.split(',')

    def start(self, work):
        """Starts what takes part: label to server. What is missing is said and left out."""
        running, root = {}, self.site(work)
        backend = self.backend_port(root) if 'proxy' in work.words else None
        cores = range(os.cpu_count() or 1) if work.spread else (servers.SERVER_CORE,)
        for entry in filter(self.wanted, work.entries):
            try:
                server = self.lab.start(entry.server, root, work.words, backend, entry.scripts, entry.threads, cores)
            except servers.Missing as why:
                print(f'{work.title}: without {entry.label}: {why}', flush=True)
                continue
            running[entry.label] = server
        self.check(work, root, running)
        return running

    def check(self, work, root, running):
        """All answer the same, and what they should."""
        expected, lengths = None, set()
        path = '/folder-1/page-1.html' if work.zipf else work.path
        if path.startswith('/json'):
            expected = {'hello': 'world', 'method': 'GET', 'answer': 42}
        for label, server in running.items():
            status, body = load.fetch(server.port(work.secure), work.secure, path)
            got = report.json.loads(body) if expected else body
            if status != 200 or got != (expected or (root / path[1:]).read_bytes()):
                raise SystemExit(f'{work.title}: {label} answers {status}, {len(body)} bytes: not what it should')
            lengths.add(len(body))
            if work.kind == 'http' and not work.zipf:
                self.load.probe(self.url(work, server), work, server, len(body))
        if len(lengths) > 1:
            raise SystemExit(f'{work.title}: answers of {sorted(lengths)} bytes')

    def url(self, work, server):
        scheme = 'https' if work.secure else 'http'
        return f'{scheme}://127.0.0.1:{server.port(work.secure)}{work.path}'

    def client(self, work):
        return self.wide if work.spread else self.load

    def turn(self, work, server):
        client = self.client(work)
        if work.kind == 'handshake':
            return load.measure(server, lambda meter: client.handshakes(server.tls, work.path, work.resumed, meter))
        return load.measure(server, lambda meter: client.http(self.url(work, server), work, meter))

    def speed(self, work):
        """Rounds of one workload: every server has its turn in each, the first another one each time. Of short turns a round
        has many, and servers started anew: one start of the same differs from another by half a percent."""
        rounds = {}
        for _ in range(self.options.rounds if work.turn else 1):
            running = self.start(work)
            some = self.short_turns(work, running) if work.turn else self.long_turns(work, running)
            for label, results in some.items():
                rounds.setdefault(label, []).extend(results)
            for server in running.values():
                server.stop()
        return rounds

    def short_turns(self, work, running):
        results = self.client(work).by_turns(list(running.values()), work) if running else []
        whole = min(map(len, results), default=0)
        return {label: result[:whole] for label, result in zip(running, results)}

    def long_turns(self, work, running):
        rounds = {label: [] for label in running}
        order = list(running)
        warm = 0 if self.quick else 1
        for number in range(self.options.rounds + warm):
            for label in order:
                result = self.turn(work, running[label])
                if number >= warm:
                    rounds[label].append(result)
            order = order[1:] + order[:1]
        return rounds

    def memory(self, work):
        """Fresh servers in each round."""
        few, many = (20, 50) if self.quick else (1000, 10000)
        if many > idle.limit():
            print(f'{work.title}: left out: {many} connections, but the limit of open files (ulimit -Hn) is for {idle.limit()}')
            return {}
        rounds = {}
        for number in range(self.options.rounds):
            for entry in filter(self.wanted, work.entries):
                try:
                    server = self.lab.start(entry.server, self.site(work), work.words)
                except servers.Missing:
                    continue
                print(f'{work.title}: round {number + 1}, {entry.label}', file=sys.stderr, flush=True)
                try:
                    rounds.setdefault(entry.label, []).append(self.growth(work, server, few, many))
                except OSError as why:
                    raise SystemExit(f'{work.title}: {entry.label}: {why}') from None
                server.stop()
        return rounds

    def growth(self, work, server, few, many):
        """One server's memory: as it starts, after one request, then with few and with many connections that idle."""
        result = {'pss_start': server.settled_memory()}
        load.fetch(server.tls, True, work.path)
        result['pss_idle'] = server.memory()
        clients = idle.Idle(server.tls, work.path)
        for key, count in (('few', few), ('many', many)):
            result[f'{key}_open'] = clients.grow(count)
            if result[f'{key}_open'] != count:
                raise ConnectionError(f'{result[f"{key}_open"]} of {count} connections stayed open')
            result[f'{key}_each'] = (server.memory() - result['pss_idle']) / count
        clients.close()
        return result

    def run(self, works):
        kind = None
        for work in works:
            rounds = self.memory(work) if work.kind == 'memory' else self.speed(work)
            if not rounds:
                continue
            if (work.kind == 'memory') != (kind == 'memory') or kind is None:
                print(report.head(work.kind))
            kind = work.kind
            self.items[work.name] = report.summary(work, rounds, self.quick)
            print(report.show(self.items[work.name]), flush=True)

    def save(self):
        out = pathlib.Path(self.options.out or os.path.join(self.options.build, 'bench'))
        out.mkdir(parents=True, exist_ok=True)
        machine = {'kernel': platform.release(), 'processor': processor(), 'cores': os.cpu_count(), **servers.versions()}
        settings = {'rounds': self.options.rounds, 'seconds': self.load.seconds, 'quick': bool(self.quick)}
        report.write_json(out / 'server.json', machine, settings, self.items)
        print(f'numbers: {out / "server.json"}')
        print(report.plot(out, self.items))


def processor():
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        if line.startswith('model name'):
            return line.split(':', 1)[1].strip()
    return platform.machine()


def chosen(options):
    words = [w for w in options.only.split(',') if w]
    works = [w for w in workloads.workloads() if not words or any(word in w.name for word in words)]
    if not works:
        raise SystemExit(f'bench: --only {options.only}: no such workload; --list names them')
    return works


def main():
    options = arguments()
    works = chosen(options)
    if options.list:
        for work in works:
            print(f'{work.name:<20} {work.title}')
        return
    if options.quick:
        options.rounds = 1
    if options.rounds < 1 or not 0.1 <= options.seconds <= 60:
        raise SystemExit('bench: at least one round, 0.1 to 60 seconds a turn')
    servers.raise_priority(options.nice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix='zeroserve-bench-')
    os.chmod(folder, 0o755)
    try:
        bench = Bench(options, folder)
        try:
            bench.run(works)
        finally:
            if bench.items:  # also those before one that failed
                bench.save()
    finally:
        servers.stop_all()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    main()
