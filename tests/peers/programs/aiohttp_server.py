# /// script
# dependencies = ["aiohttp"]
# ///
"""aiohttp's own way to serve: until an interrupt, for which it asks the loop, and then with grace."""

import asyncio
import socket

from aiohttp import web


async def slow(request):
    print("asked", flush=True)
    await asyncio.sleep(0.5)
    return web.Response(text="slow but whole")


async def clean(app):
    print("cleaned up", flush=True)


app = web.Application()
app.add_routes([web.get("/", slow)])
app.on_cleanup.append(clean)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
web.run_app(app, sock=server, print=None)
