# SPDX-License-Identifier: Apache-2.0
"""The servers that are measured: how each is started on one core, and what its processes use.

Every process started here belongs to a group of its own, dies with this program, and is ended by stop_all().
"""
import ctypes
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
SERVER_CORE = 0
LOAD_CORE = 1 if (os.cpu_count() or 1) > 1 else 0
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)
started = []
priority = 0


class Missing(Exception):
    """What a workload needs is not installed."""


def raise_priority(nice):
    """This process, those it starts from now on, and its session, which the kernel weighs as one."""
    global priority
    if nice == 0:
        return
    try:
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        pathlib.Path('/proc/self/autogroup').write_text(str(nice))
        priority = nice
    except PermissionError:
        raise SystemExit(f'--nice {nice} needs root') from None
    except OSError:
        pass  # a kernel without sessions in its scheduler


def on_core(cores):
    """What a child does before it becomes a program: pinned, ended with its parent, with many open files."""
    allowed = os.sched_getaffinity(0)

    def prepare():
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.sched_setaffinity(0, set(cores) & allowed or allowed)
        raise_priority(priority)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return prepare


def launch(command, cores, log, env=None):
    with open(log, 'wb') as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                   start_new_session=True, preexec_fn=on_core(cores), env=env)
    started.append(process)
    return process


def stop(process):
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(3)
        except (subprocess.TimeoutExpired, ProcessLookupError):
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    started.remove(process)


def stop_all():
    for process in list(started):
        stop(process)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def fill(template, words, values):
    """A template with @NAME@ replaced; lines that begin with ?word are kept when `words` has it."""
    lines = []
    for line in template.splitlines():
        match = re.match(r'\?(\w+)', line)
        if match and match.group(1) not in words:
            continue
        lines.append(line[match.end():] if match else line)
    text = '\n'.join(lines) + '\n'
    return re.sub(r'@([A-Z]+)@', lambda m: str(values[m.group(1)]), text)


class Server:
    """One server that runs: its ports and its processes."""

    def __init__(self, name, process, plain, tls):
        self.name, self.process, self.plain, self.tls = name, process, plain, tls

    def port(self, secure):
        return self.tls if secure else self.plain

    def pids(self):
        """The process and all that it started."""
        found, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            try:
                for task in os.listdir(f'/proc/{pid}/task'):
                    todo += map(int, pathlib.Path(f'/proc/{pid}/task/{task}/children').read_text().split())
            except OSError:
                continue
            found.append(pid)
        return found

    def cpu(self):
        """Nanoseconds each thread has run so far, by thread."""
        used = {}
        for pid in self.pids():
            for stat in pathlib.Path(f'/proc/{pid}/task').glob('*/schedstat'):
                try:
                    used[stat.parent.name] = int(stat.read_text().split()[0])
                except OSError:
                    pass  # the thread has just ended
        return used

    def memory(self):
        """Bytes that the processes hold, shared pages by their share (PSS)."""
        total = 0
        for pid in self.pids():
            text = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text()
            total += int(re.search(r'^Pss: *(\d+) kB', text, re.M).group(1)) * 1024
        return total

    def settled_memory(self):
        """The same once it no longer changes: a server that listens may still be starting its workers."""
        last, same = self.memory(), 0
        for _ in range(60):
            time.sleep(0.05)
            now = self.memory()
            same = same + 1 if now == last else 0
            last = now
            if same == 4:
                break
        return last

    def stop(self):
        stop(self.process)


def cpu_between(before, after):
    """Nanoseconds used between two calls of Server.cpu()."""
    return sum(ns - before.get(thread, 0) for thread, ns in after.items())


class Lab:
    """Starts servers: knows the folder all is in, the program under test and the certificate."""

    def __init__(self, folder, zeroserve):
        self.folder = pathlib.Path(folder)
        self.zeroserve = zeroserve
        self.count = 0

    def certificate(self):
        run = subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
             '-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=localhost',
             '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], cwd=self.folder, capture_output=True, check=False)
        if run.returncode:
            raise SystemExit('openssl: ' + run.stderr.decode(errors='replace').strip())
        both = (self.folder / 'cert.pem').read_bytes() + (self.folder / 'key.pem').read_bytes()
        (self.folder / 'both.pem').write_bytes(both)

    def place(self, name):
        """A new folder for one server, with the certificate in it."""
        self.count += 1
        place = self.folder / f'{self.count}-{name}'
        place.mkdir()
        for pem in ('cert.pem', 'key.pem', 'both.pem'):
            shutil.copy(self.folder / pem, place)
        return place

    def start(self, name, root, words, backend=None, scripts=(), threads=1, cores=(SERVER_CORE,)):
        """Starts the server of that name for the files below `root`. `words` says what it is to do."""
        place = self.place(name)
        if name == 'zeroserve':
            return self.start_ours(place, root, backend, scripts, threads, cores)
        if name == 'floor':
            return self.start_floor(place, root, words, backend, threads, cores)
        return self.start_peer(name, place, root, words, backend, cores)

    def pack(self, place, root, backend, scripts):
        site = place / 'site'
        shutil.copytree(root, site, copy_function=os.link)
        for script in scripts:
            target = site / '.zeroserve' / 'scripts' / script.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(fill(script.read_text(), (), {'BACKEND': backend}))
        tar = place / 'site.tar'
        with open(tar, 'wb') as output:
            subprocess.run([self.zeroserve, '--pack', str(site)], stdout=output, check=True)
        return tar

    def start_ours(self, place, root, backend, scripts, threads, cores):
        log = place / 'log'
        command = [self.zeroserve, '--addr', '127.0.0.1:0', '--tls-addr', '127.0.0.1:0', '--cert', str(place / 'cert.pem'),
                   '--key', str(place / 'key.pem'), '--threads', str(threads), '--disable-request-logging',
                   '--h2-connection-requests', '1000000000',
                   str(self.pack(place, root, backend, scripts))]
        process, plain, tls = self.launch_told(command, cores, log, 'http', 'https')
        return Server('zeroserve', process, plain, tls)

    def start_floor(self, place, root, words, backend, threads, cores):
        """What looks at nothing: floor.c. It answers by the small file, or has the backend do so."""
        program = pathlib.Path(self.zeroserve).parent / 'bench' / 'floor'
        if not program.exists():
            raise Missing(f'{program} is not built')
        command = [str(program), str(backend) if 'proxy' in words else str(root / 'small.html'), str(threads)]
        process, plain = self.launch_told(command, cores, place / 'log', 'http')
        return Server('floor', process, plain, None)

    @staticmethod
    def launch_told(command, cores, log, *schemes):
        """Starts what tells where it listens: the process, and its port for each of the schemes."""
        process = launch(command, cores, log)
        for _ in range(2000):
            text = log.read_text(errors='replace')
            told = [re.search(rf'listening on {scheme}://127\.0\.0\.1:(\d+)', text) for scheme in schemes]
            if all(told):
                return process, *(int(match.group(1)) for match in told)
            if process.poll() is not None:
                break
            time.sleep(0.01)
        raise SystemExit(f'{command[0]} does not start: ' + log.read_text(errors='replace').strip())

    def start_peer(self, name, place, root, words, backend, cores):
        program = shutil.which(name) or shutil.which(name, path='/usr/sbin:/sbin')
        if not program:
            raise Missing(f'{name} is not installed')
        template, arguments = PEERS[name]
        plain, tls = free_port(), free_port()
        user = 'root' if os.geteuid() == 0 else 'nobody'
        values = {'DIR': place, 'ROOT': root, 'PLAIN': plain, 'TLS': tls, 'BACKEND': backend, 'USER': user}
        config = place / template
        config.write_text(fill((HERE / template).read_text(), words, values))
        env = dict(os.environ, GOMAXPROCS='1', HOME=str(place))
        process = launch([program] + [a.format(config=config) for a in arguments], cores, place / 'log', env)
        for port in (plain, tls):
            if not answers(process, port):
                text = (place / 'log').read_text(errors='replace').strip().splitlines()
                stop(process)
                raise Missing(f'{name} does not start: ' + (text[-1] if text else 'it says nothing'))
        return Server(name, process, plain, tls)


PEERS = {
    'nginx': ('nginx.conf', ('-c', '{config}')),
    'h2o': ('h2o.conf', ('-c', '{config}')),
    'caddy': ('Caddyfile', ('run', '--config', '{config}', '--adapter', 'caddyfile')),
    'haproxy': ('haproxy.cfg', ('-f', '{config}')),
}


def answers(process, port):
    """Does the process listen on the port, within some seconds?"""
    for _ in range(1000):
        if process.poll() is not None:
            return False
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False


def versions():
    """What the peers say about themselves."""
    asked = {'nginx': '-v', 'h2o': '--version', 'caddy': 'version', 'haproxy': '-v', 'wrk': '-v', 'h2load': '--version'}
    found = {}
    for name, flag in asked.items():
        program = shutil.which(name) or shutil.which(name, path='/usr/sbin:/sbin')
        if program:
            run = subprocess.run([program, flag], capture_output=True, check=False)
            match = re.search(r'\d+\.\d+(\.\d+)?', (run.stdout + run.stderr).decode(errors='replace'))
            found[name] = match.group(0) if match else '?'
    return found
