"""An echo server, or a client with many connections at once. Arguments: server|client HOST PORT [CONNECTIONS BYTES]."""

import asyncio
import os
import sys

role, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve():
    server = await asyncio.start_server(echo, host, port, backlog=500)
    await server.serve_forever()


async def talk(size):
    """Sends while it receives."""
    sent = os.urandom(size)
    reader, writer = await asyncio.open_connection(host, port)

    async def send():
        for at in range(0, size, 10_000):
            writer.write(sent[at:at + 10_000])
            await writer.drain()
        writer.write_eof()
    _, received = await asyncio.gather(send(), reader.read(-1))
    writer.close()
    await writer.wait_closed()
    return received == sent


async def load(count, size):
    right = await asyncio.wait_for(asyncio.gather(*(talk(size) for _ in range(count))), 50)
    print("right:", sum(right))

asyncio.run(serve() if role == "server" else load(int(sys.argv[4]), int(sys.argv[5])))
