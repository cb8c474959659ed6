#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A chat server behind the gateway: what one WebSocket says, all get (RFC 6455, texts below 64 KiB).

usage: chat.py [PORT]      listens on 127.0.0.1, port 9021 without PORT; 0: a free one, which is printed
"""
import asyncio
import base64
import hashlib
import sys

members = set()


def frame(text, opcode=1):
    data = text.encode()
    size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    return bytes([0x80 | opcode]) + size + data


async def read_frame(reader):
    opcode, size = await reader.readexactly(2)
    if opcode & 0xF0 != 0x80 or size < 0x80 or size == 0xFF:
        raise ValueError("in pieces, not masked or too long")
    size &= 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(size)
    return opcode & 15, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def tell_all(text):
    print(text, flush=True)
    for member in members:
        member.write(frame(text))


async def serve(reader, writer):
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1)[:1] + line.split(": ", 1)[1:]
                      for line in head.split("\r\n")[1:] if ": " in line)
        key = fields.get("sec-websocket-key")
        if key is None:
            writer.write(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        members.add(writer)
        tell_all(f"somebody came, {len(members)} here")
        opcode = 1
        while opcode != 8:
            opcode, data = await read_frame(reader)
            if opcode == 1:
                tell_all(data.decode())
            elif opcode == 9:
                writer.write(frame(data.decode(), 10))
        writer.write(frame("", 8))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        pass
    finally:
        if writer in members:
            members.discard(writer)
            tell_all(f"somebody left, {len(members)} here")
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9021)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
