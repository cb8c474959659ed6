# SPDX-License-Identifier: Apache-2.0
"""What is measured, and how far the others should be from us."""
import dataclasses
import pathlib
import random

from servers import HERE

SMALL, MEDIUM, LARGE = '/small.html', '/medium.bin', '/large.bin'
ZIPF_FILES, ZIPF_REQUESTS, ZIPF_FOLDERS = 20000, 200000, 200
FILE_PEERS = ('nginx', 'h2o', 'caddy')
PROXY_PEERS = ('nginx', 'haproxy', 'h2o', 'caddy')
CHAIN = tuple(sorted((HERE / 'scripts' / 'chain').glob('*.c')))


@dataclasses.dataclass
class Entry:
    """One server in a workload. `label` is what the tables call it."""
    label: str
    server: str = 'zeroserve'
    scripts: tuple = ()
    threads: int = 1


@dataclasses.dataclass
class Work:
    """One workload. `bars`: the least that a peer's cost divided by ours should be; `most`: the most that a
    variant's cost divided by the first one's should be; `gains`: the least of its requests a second divided by the first one's."""
    name: str
    title: str
    kind: str = 'http'  # or handshake, memory
    path: str = SMALL
    load: str = 'h1'
    secure: bool = True
    clients: int = 32
    streams: int = 8
    words: tuple = ('file',)
    entries: tuple = ()
    bars: dict = dataclasses.field(default_factory=dict)
    most: dict = dataclasses.field(default_factory=dict)
    gains: dict = dataclasses.field(default_factory=dict)
    resumed: bool = False
    zipf: bool = False
    spread: bool = False  # servers may use all cores
    few: int = 0  # requests of a quick run, when not as usual
    turn: int = 0  # requests a turn of some milliseconds, where little is compared with little; else turns take seconds


def entries(peers=FILE_PEERS, scripts=()):
    return (Entry('zeroserve', scripts=scripts),) + tuple(Entry(p, p) for p in peers)


def pair(name, title, **more):
    """The same over HTTP/1.1 and HTTP/2. `bars` has one for each."""
    bars1, bars2 = more.pop('bars1', {}), more.pop('bars2', {})
    return [Work(f'{name}-h1', f'{title}, h1+TLS', load='h1', bars=bars1, **more),
            Work(f'{name}-h2', f'{title}, h2+TLS', load='h2', clients=16, bars=bars2, **more)]


def workloads():
    files = entries()
    floor = (Entry('sockets alone', 'floor'),)
    scripted = entries(('nginx', 'h2o'), (HERE / 'scripts' / 'json.c',))
    proxied = entries(PROXY_PEERS, (HERE / 'scripts' / 'proxy.c',))
    workers = (Entry('one worker'), Entry('two workers', threads=2))
    relay = {'nginx': 1.3, 'haproxy': 1.3}
    large = {'nginx': 1.5, 'h2o': 1.1}
    small1, small2 = {'nginx': 1.5, 'h2o': 1.3}, {'nginx': 3, 'h2o': 0.9}
    return [
        Work('small-plain', '174 B, h1 plain', secure=False, entries=files + floor, bars=small1),
        *pair('small', '174 B', entries=files, bars1=small1, bars2=small2),
        *pair('100k', '100 KiB', path=MEDIUM, entries=files, bars1=large, bars2=large),
        Work('100k-plain', '100 KiB, h1 plain', path=MEDIUM, secure=False, entries=files),
        Work('10m', '10 MiB, h1+TLS', path=LARGE, clients=4, few=8, entries=files),
        *pair('json', 'scripted JSON', path='/json?name=world', words=('file', 'lua'), entries=scripted,
              bars1={'nginx': 1.5}, bars2={'nginx': 2}),
        Work('proxy-small-plain', 'proxied 174 B, h1 plain', secure=False, words=('proxy',), entries=proxied + floor),
        *pair('proxy-small', 'proxied 174 B', words=('proxy',), entries=proxied, bars1=relay, bars2=relay),
        Work('proxy-100k-plain', 'proxied 100 KiB, h1 plain', path=MEDIUM, secure=False, words=('proxy',), entries=proxied),
        *pair('proxy-100k', 'proxied 100 KiB', path=MEDIUM, words=('proxy',), entries=proxied, bars1=relay, bars2=relay),
        Work('zipf', '20,000 files by Zipf, h1+TLS', path='', zipf=True, entries=files),
        Work('chain', '174 B, h1+TLS, scripts', turn=1000, most={'three scripts': 1.05},
             entries=(Entry('no script'), Entry('three scripts', scripts=CHAIN))),
        # Where each worker has a core, two of them serve 2 / 1.11 = 1.8 times as much as one.
        Work('threads', '174 B, h1+TLS, workers', turn=1000, spread=True, clients=64, most={'two workers': 1.11}, entries=workers),
        Work('threads-plain', '174 B, h1 plain, workers', turn=1000, secure=False, spread=True, clients=64,
             entries=workers + (Entry('sockets, one', 'floor'), Entry('sockets, two', 'floor', threads=2))),
        Work('threads-script', 'script of 0.5 ms, workers', turn=1000, spread=True, clients=64, gains={'two workers': 1.8},
             entries=tuple(dataclasses.replace(w, scripts=(HERE / 'scripts' / 'work.c',)) for w in workers)),
        Work('handshake-full', 'full handshake', kind='handshake', entries=files),
        Work('handshake-resumed', 'resumed handshake', kind='handshake', resumed=True, entries=files),
        Work('memory', 'memory (PSS)', kind='memory', entries=files, bars={'nginx': 2}),
    ]


def make_site(root, zipf_paths=None):
    """Writes the files that are asked for, the 20,000 only when somebody wants the list of their requests."""
    root.mkdir()
    page = '<!doctype html><html><title>Small</title><p>'
    page += 'x' * (174 - len(page) - len('</html>\n')) + '</html>\n'
    (root / 'small.html').write_text(page)
    noise = random.Random(1)
    (root / 'medium.bin').write_bytes(noise.randbytes(100 << 10))
    if zipf_paths:
        make_many(root, zipf_paths, noise)
    else:
        (root / 'large.bin').write_bytes(noise.randbytes(10 << 20))


def make_many(root, zipf_paths, noise):
    """20,000 files of 0.5 to 16 KiB; the k-th most popular is asked for in proportion to 1/k."""
    paths = []
    for i in range(ZIPF_FILES):
        path = pathlib.PurePosixPath(f'folder-{i % ZIPF_FOLDERS}', f'page-{i}.html')
        file = root / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(noise.randbytes(noise.randint(512, 16384)))
        paths.append('/' + str(path))
    noise.shuffle(paths)
    chosen = noise.choices(paths, [1 / (k + 1) for k in range(len(paths))], k=ZIPF_REQUESTS)
    zipf_paths.write_text('\n'.join(chosen) + '\n')
