# /// script
# dependencies = ["aiohttp"]
# ///
"""aiohttp without its C parts: its client against the servers, and against its own. Arguments as of
requests_urllib3.py."""

import asyncio
import ssl
import sys

import aiohttp
from aiohttp import web

plain, tls, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)


async def attempt(call):
    try:
        async with call as answer:
            return await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        return type(error).__name__


async def speak(session, base):
    print((await attempt(session.get(f"{base}/page", ssl=context))).strip())
    paths = [f"/dynamic/slow/0.01?{n}" for n in range(100)]
    print(await asyncio.gather(*(attempt(session.get(base + path, ssl=context)) for path in paths)) == paths)
    async with session.post(f"{base}/dynamic/echo", json={"ä": 1}, ssl=context) as answer:
        print(await answer.json(content_type=None))
    async with session.get(f"{base}/big", ssl=context) as answer:
        print(sum([len(part) async for part in answer.content.iter_chunked(50_000)]))
    late = aiohttp.ClientTimeout(total=0.2)
    print(await attempt(session.get(f"{base}/dynamic/slow/3", timeout=late, ssl=context)))
    print(await attempt(session.get(f"{base}/dynamic/cut", ssl=context)))


async def hello(request):
    await asyncio.sleep(0.01)
    return web.json_response({"name": request.match_info["name"], "got": await request.text()})


async def shout(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data.upper())
    return socket


async def serve(session):
    app = web.Application()
    app.add_routes([web.post("/hello/{name}", hello), web.get("/shout", shout)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    base = "http://{}:{}".format(*runner.addresses[0])

    async def ask(n):
        async with session.post(f"{base}/hello/{n}", data=f"body {n}") as answer:
            return await answer.json()

    expected = [{"name": str(n), "got": f"body {n}"} for n in range(200)]
    print(await asyncio.gather(*map(ask, range(200))) == expected)
    async with session.ws_connect(f"{base}/shout") as socket:
        await socket.send_str("websocket")
        print(await socket.receive_str())
    await runner.cleanup()


async def main():
    async with aiohttp.ClientSession() as session:
        await speak(session, plain)
        await speak(session, tls)
        print(await attempt(session.get(f"{tls}/page")))
        print(await attempt(session.get(f"{tls.replace('localhost', '127.0.0.1')}/page", ssl=context)))
        await serve(session)


asyncio.run(main())
