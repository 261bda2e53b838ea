"""Against the service in VTWASM_SERVER, with the token in VTWASM_TOKEN."""

import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "src"))

from vtwasm_client import Client, JobFailed, Problem

WAIT = 60


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.client = Client()

    def test_a_job_is_submitted_followed_and_its_result_is_read(self):
        code = "import sys\ndef main(n, *, by):\n    print('x', file=sys.stderr)\n    return {'ü': n * by}"
        code = code.replace("n, *, by", "n, by")
        job = self.client.submit(code, arguments={"n": 6, "by": 7}, name="product")
        pieces = list(job.logs(follow=True))
        self.assertEqual([(piece.stream, piece.text, piece.attempt) for piece in pieces], [("stderr", "x\n", 1)])
        self.assertEqual((job.state, job.done, job.about["name"]), ("SUCCESS", True, "product"))
        self.assertEqual(job.result(), {"ü": 42})
        self.assertEqual([piece.text for piece in job.logs()], ["x\n"])

    def test_lines_come_while_the_job_runs(self):
        job = self.client.submit("import time\nprint('on', flush=True)\ntime.sleep(300)")
        for piece in job.logs(follow=True):
            self.assertEqual(piece.text, "on\n")
            break
        self.assertEqual(job.refresh().state, "STARTED")
        job.cancel()
        self.assertEqual(job.wait(WAIT).state, "REVOKED")
        with self.assertRaisesRegex(JobFailed, "REVOKED"):
            job.result()

    def test_a_failure_is_an_exception_with_its_reason_and_can_be_tried_again(self):
        job = self.client.submit("raise ValueError('no such customer')")
        with self.assertRaisesRegex(JobFailed, "ValueError: no such customer") as raised:
            job.result()
        self.assertEqual(raised.exception.job.error, "ValueError: no such customer")
        self.assertEqual(job.retry().state, "PENDING")
        self.assertEqual(job.wait(WAIT).about["attempt"], 2)
        with self.assertRaises(Problem) as raised:
            job.cancel()
        self.assertEqual(raised.exception.status, 409)

    def test_the_same_key_gives_the_same_job(self):
        first = self.client.submit("pass", key="once")
        self.assertEqual(self.client.submit("pass", key="once").id, first.id)
        self.assertNotEqual(self.client.submit("pass").id, first.id)
        self.assertIn(first.id, [job.id for job in self.client.jobs()])
        self.assertEqual(self.client.job(first.id).wait(WAIT).state, "SUCCESS")

    def test_waiting_ends_when_it_is_told_to(self):
        job = self.client.submit("pass", delay=1000)
        with self.assertRaisesRegex(TimeoutError, "PENDING after 0.2 s"):
            job.wait(0.2)
        self.assertIn(job.id, [other.id for other in self.client.jobs(state="PENDING")])
        self.assertNotIn(job.id, [other.id for other in self.client.jobs(state="SUCCESS")])
        job.cancel()

    def test_what_is_refused_says_why(self):
        for source, options, detail in [
            ("", {}, "source: "),
            ("pass", {"retries": 1000}, "retries: "),
        ]:
            with self.assertRaises(Problem) as raised:
                self.client.submit(source, **options)
            self.assertEqual(raised.exception.status, 422)
            self.assertTrue(raised.exception.detail.startswith(detail), raised.exception.detail)
        with self.assertRaises(Problem) as raised:
            self.client.job("../../etc/passwd?#")
        self.assertEqual(raised.exception.status, 404)
        with self.assertRaises(Problem) as raised:
            list(Client(token="vt_wrong").jobs())
        self.assertEqual(raised.exception.status, 401)

    def test_an_address_or_a_token_that_is_none_is_refused_at_once(self):
        for url, token in [("ftp://x", "t"), ("x:1", "t"), ("http://", "t"), ("http://x", "a\nb"), ("http://x", "é")]:
            with self.assertRaises(ValueError, msg=url):
                Client(url, token)

    def test_a_submission_is_repeated_when_its_answer_is_lost(self):
        # A service that breaks off before it answers, once.
        lost, keys = threading.Event(), []
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve():
                for _ in range(2):
                    connection, _ = server.accept()
                    with connection:
                        request = b""
                        while b"}" not in request:
                            request += connection.recv(4096)
                        keys.append([line for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key")])
                        if lost.is_set():
                            body = b'{"id": "job_1", "state": "PENDING", "error": null}'
                            head = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body)
                            connection.sendall(head + body)
                        lost.set()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            client = Client(f"http://127.0.0.1:{server.getsockname()[1]}", "t")
            self.assertEqual(client.submit("pass").id, "job_1")
            thread.join(WAIT)
        self.assertEqual(keys[0], keys[1])
        self.assertEqual(len(keys[0]), 1)


if __name__ == "__main__":
    unittest.main()
