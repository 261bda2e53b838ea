"""Python's own http.server, natively, with the pages that the tests ask for."""

import contextlib
import http.server
import ssl
import threading
import time

import place

BIG = bytes(range(256)) * 20_000  # 5 MB
FILES = {"page": b"a page\n", "long": b"the same line again\n" * 1000, "big": BIG}


class Pages(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.lstrip("/")
        if name.startswith("dynamic/slow/"):
            time.sleep(float(name.partition("?")[0].rsplit("/", 1)[1]))
            self.answer(200, self.path.encode())
        elif name == "dynamic/redirect":
            self.answer(302, b"", Location="/page")
        elif name == "dynamic/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for n in range(100):
                self.wfile.write(b"%x\r\n%s\r\n" % (n + 1, b"x" * (n + 1)))
            self.wfile.write(b"0\r\n\r\n")
        elif name == "dynamic/cut":
            # Fewer bytes than announced, and then nothing.
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 100)
            self.close_connection = True
        elif name in FILES:
            self.answer(200, FILES[name])
        else:
            self.answer(404, b"missing")

    def do_POST(self):
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    do_HEAD = do_GET

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    tls = None

    def finish_request(self, request, client_address):
        # In the connection's thread: a handshake must not keep the others.
        with contextlib.suppress(OSError):
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
            if self.tls:
                request.unwrap()


@contextlib.contextmanager
def python_server(tls=False):
    """Gives its URL."""
    with Server(("127.0.0.1", 0), Pages) as server:
        if tls:
            server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.tls.load_cert_chain(place.CA.parent / "server.pem")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
