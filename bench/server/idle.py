# SPDX-License-Identifier: Apache-2.0
"""Connections that had one request each and then stay open, by the thousand.

Dozens are made at a time: one after the other, each message of each handshake would wait for both processes to get their
core, which on a machine that does other work takes longer than all the arithmetic.
"""
import resource
import select
import socket
import ssl

AT_A_TIME = 64
SPARE_FILES = 200  # what a process has open beside its connections
PATIENCE = 60  # seconds without a word from the server


def limit():
    """So many connections can this machine's limits take, by this process and by a server."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_FILES


class Dialogue:
    """One connection until its request is answered. Its bytes are carried by hand, so that the TLS state can be dropped
    afterwards: a socket is all that the client keeps."""

    def __init__(self, context, port, request):
        self.sock = socket.create_connection(('127.0.0.1', port), PATIENCE)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname='localhost')
        self.request, self.answer = request, b''
        self.advance()

    def heard(self):
        """Takes what the server sent. True: the answer is complete."""
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError('the server closed the connection')
        self.incoming.write(data)
        return self.advance()

    def advance(self):
        try:
            self.step()
        except ssl.SSLWantReadError:
            pass
        self.sock.sendall(self.outgoing.read())
        return b'</html>' in self.answer

    def step(self):
        if self.request:
            self.tls.do_handshake()
            self.tls.write(self.request)
            self.request = b''
        while True:
            self.answer += self.tls.read(65536)


class Idle:
    """The connections to one server."""

    def __init__(self, port, path):
        self.port, self.sockets = port, []
        self.request = f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode()
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.context.set_alpn_protocols(['http/1.1'])
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def grow(self, count):
        """Opens connections until there are so many; returns how many the server still has open."""
        poll, busy = select.poll(), {}
        while len(self.sockets) < count:
            while len(busy) < min(AT_A_TIME, count - len(self.sockets)):
                dialogue = Dialogue(self.context, self.port, self.request)
                busy[dialogue.sock.fileno()] = dialogue
                poll.register(dialogue.sock, select.POLLIN)
            ready = poll.poll(PATIENCE * 1000)
            if not ready:
                raise ConnectionError(f'nothing for {PATIENCE} s, with {len(self.sockets)} connections open')
            for number, _ in ready:
                if busy[number].heard():
                    poll.unregister(number)
                    self.sockets.append(busy.pop(number).sock)
        return self.alive()

    def alive(self):
        poll = select.poll()
        for sock in self.sockets:
            poll.register(sock, select.POLLIN | select.POLLRDHUP)
        return len(self.sockets) - len(poll.poll(0))

    def close(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []
