"""page_server.py SECONDS: an HTTP server that takes so long for each page, until it is killed."""

import asyncio
import json
import sys

PAGE = b"<title>page</title>" + 2000 * b"x"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(PAGE), PAGE)


class Page(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.request = transport, b""

    def data_received(self, data):
        self.request += data
        if self.request.endswith(b"\r\n\r\n"):
            asyncio.get_running_loop().call_later(float(sys.argv[1]), self.answer)

    def answer(self):
        self.transport.write(ANSWER)
        self.transport.close()


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Page, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


asyncio.run(serve())
