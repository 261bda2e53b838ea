# vtwasm: --allow-net=localhost --listen
"""The servers of the standard library, with a thread for each request, and their clients."""

import asyncio
import concurrent.futures
import http.server
import socketserver
import threading
import time
import urllib.error
import urllib.request


socketserver.TCPServer.request_queue_size = 100  # as many as come at once


class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())


async def ask(address, text):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text.encode() + b"\n")
    await writer.drain()
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer.decode().strip()


async def ask_all(address):
    answers = await asyncio.gather(*(ask(address, f"line {n}") for n in range(100)))
    return answers == [f"LINE {n}" for n in range(100)]


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Upper) as server:
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    print(asyncio.run(ask_all(server.server_address)))
    server.shutdown()


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/missing":
            return self.send_error(404)
        time.sleep(0.1)
        body = f"page {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    base = f"http://127.0.0.1:{server.server_port}"

    def load_url(n):
        with urllib.request.urlopen(f"{base}/{n}", timeout=30) as page:
            return page.read().decode()

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        print(list(pool.map(load_url, range(100))) == [f"page /{n}" for n in range(100)])
    try:
        urllib.request.urlopen(f"{base}/missing")
    except urllib.error.HTTPError as error:
        print(error.code)
    server.shutdown()


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        print(await asyncio.gather(*(ask(address, str(n)) for n in range(3))))


asyncio.run(main())
