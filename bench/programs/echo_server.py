"""echo_server.py threads|asyncio: sends back what comes, until it is killed.

With a thread for each connection, or a task.
"""

import asyncio
import json
import socket
import sys
import threading


def serve(connection):
    with connection:
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except ConnectionResetError:
            pass


def threads(server):
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


async def serve_streams(reader, writer):
    while data := await reader.read(4096):
        writer.write(data)
        await writer.drain()


async def tasks(server):
    await (await asyncio.start_server(serve_streams, sock=server)).serve_forever()


server = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(json.dumps({"port": server.getsockname()[1]}), flush=True)
if sys.argv[1] == "asyncio":
    asyncio.run(tasks(server))
else:
    threads(server)
