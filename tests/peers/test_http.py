"""HTTP, by the libraries that people use for it."""

import contextlib
import http.client
import json
import signal
import time
import unittest
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pages
import place
import sandbox
import servers


class TestHTTP(unittest.TestCase):
    def check_with_python(self, program):
        with pages.python_server() as plain, pages.python_server(tls=True) as tls:
            sandbox.check(self, program, plain, tls, place.CA)

    def check_with_nginx(self, program):
        with pages.python_server() as behind, servers.nginx(pages.FILES, behind) as (plain, tls):
            sandbox.check(self, program, plain, tls, place.CA)

    def test_requests_and_urllib3_speak_with_python_with_and_without_tls(self):
        self.check_with_python("requests_urllib3")

    def test_requests_and_urllib3_speak_with_nginx_with_and_without_tls(self):
        self.check_with_nginx("requests_urllib3")

    def test_httpx_speaks_http_1_and_2_with_threads_and_with_asyncio(self):
        self.check_with_nginx("httpx_clients")

    def test_aiohttp_without_its_c_parts_is_client_and_server(self):
        self.check_with_nginx("aiohttp_both_ends")

    def test_the_example_of_concurrent_futures_loads_a_thousand_urls_with_200_threads(self):
        refusing = f"http://localhost:{servers.free_port()}/"
        with pages.python_server() as base:
            sandbox.check(self, "load_url", 1000, base, refusing)

    def test_an_interrupt_ends_aiohttps_server_after_the_request_that_it_is_at(self):
        with sandbox.running("aiohttp_server") as (port, process):
            with ThreadPoolExecutor(1) as threads:
                answer = threads.submit(urllib.request.urlopen, f"http://127.0.0.1:{port}/", timeout=30)
                self.assertEqual(process.stdout.readline(), "asked\n")
                process.send_signal(signal.SIGINT)
                self.assertEqual(answer.result().read(), b"slow but whole")
            self.assertEqual(process.stdout.read(), "cleaned up\n")


class TestFlask(unittest.TestCase):
    THREADS, REQUESTS = 24, 40

    def setUp(self):
        self.port, _ = self.enterContext(sandbox.running("flask_server"))

    def ask(self, connection, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def client(self, name):
        """A native thread's requests, one after the other; werkzeug closes after each."""
        for n in range(self.REQUESTS):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            with contextlib.closing(connection):
                body = json.dumps([name, n])
                answer = self.ask(
                    connection, "POST", f"/echo/{n}", body, X_Client=name, Content_Type="application/json"
                )
                self.assertEqual((answer[0], json.loads(answer[1])), (200, {"n": n, "got": [name, n]}))

    def test_werkzeugs_threaded_server_bears_many_clients_at_once(self):
        names = [f"client-{n}" for n in range(self.THREADS)]
        began = time.monotonic()
        with ThreadPoolExecutor(self.THREADS) as threads:
            list(threads.map(self.client, names))
        one_by_one = self.THREADS * self.REQUESTS * 0.02
        self.assertLess(time.monotonic() - began, one_by_one / 2)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
            status, text = self.ask(connection, "GET", "/counts")
        self.assertEqual(json.loads(text), dict.fromkeys(names, self.REQUESTS))

    def test_flask_answers_renders_streams_and_fails_as_it_does_natively(self):
        asked = {}
        for path in "/hello/<b>", "/lines/1000", "/forbidden", "/broken", "/none":
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port)) as connection:
                asked[path] = self.ask(connection, "GET", path)
        self.assertEqual(asked["/hello/<b>"], (200, "hello &lt;b&gt;"))
        self.assertEqual(asked["/lines/1000"], (200, "".join(f"line {n}\n" for n in range(1000))))
        statuses = [asked[path][0] for path in ("/forbidden", "/broken", "/none")]
        self.assertEqual(statuses, [403, 500, 404])
