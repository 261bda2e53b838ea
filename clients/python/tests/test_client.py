"""Against the service in VTWASM_SERVER, with the token in VTWASM_TOKEN."""

import hashlib
import io
import os
import socket
import sys
import tempfile
import threading
import unittest
import uuid
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "src"))

from vtwasm_client import Client, JobFailed, Problem
from vtwasm_client._files import place

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

    def test_files_are_given_to_a_job_and_what_it_leaves_is_fetched(self):
        with tempfile.TemporaryDirectory() as folder:
            here = os.path.join(folder, "prices.csv")
            with open(here, "w") as file:
                file.write("tea,3\n")
            code = "import os\nos.makedirs('/output/a')\n"
            code += "text = open('/input/prices.csv').read() + open('/input/in/raw').read()\n"
            code += "open('/output/a/sum ü.txt', 'w').write(text.upper())\nopen('/output/none', 'w')"
            job = self.client.submit(code, files={"prices.csv": here, "in/raw": b"x" * 200_000}).wait(WAIT)
            self.assertEqual(job.state, "SUCCESS", job.error)
            expected = b"TEA,3\n" + b"X" * 200_000
            self.assertEqual([(file.path, file.bytes) for file in job.files()], [("a/sum ü.txt", len(expected)), ("none", 0)])
            self.assertEqual(job.get_file("a/sum ü.txt"), expected)
            there = job.get_files(os.path.join(folder, "left"))
            self.assertEqual([os.path.relpath(path, folder) for path in there], ["left/a/sum ü.txt", "left/none"])
            with open(there[0], "rb") as file:
                self.assertEqual(file.read(), expected)
            self.assertEqual(sorted(os.listdir(os.path.dirname(there[1]))), ["a", "none"])
            with self.assertRaises(Problem) as raised:
                job.get_file("a/other", os.path.join(folder, "other"))
            self.assertEqual((raised.exception.status, os.path.exists(os.path.join(folder, "other"))), (404, False))

    def test_a_file_is_kept_under_its_hash_until_it_is_removed(self):
        content = uuid.uuid4().bytes
        name = self.client.put_file(content)
        self.assertEqual(name, hashlib.sha256(content).hexdigest())
        self.assertEqual(self.client.put_file(content), name)
        self.assertIn((name, 16), [(file.sha256, file.bytes) for file in self.client.files()])
        self.assertEqual(self.client.get_file(name), content)
        self.client.remove_file(name)
        with self.assertRaises(Problem) as raised:
            self.client.get_file(name)
        self.assertEqual(raised.exception.status, 404)

    def test_no_file_goes_beside_the_folder_that_it_is_for(self):
        for path in ["../x", "/etc/passwd", "a/../../x", "a//b", ".", "a\\..\\b"]:
            with self.assertRaises(ValueError, msg=path):
                place("folder", path)

    def test_a_bundle_is_run_at_its_entry(self):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as bundle:
            bundle.writestr("shop/__init__.py", "")
            bundle.writestr("shop/sums.py", "def double(n): return 2 * n")
        job = self.client.submit(bundle=packed.getvalue(), entry="shop.sums:double", arguments=[21])
        self.assertEqual(job.result(), 42)

    def test_what_the_threads_of_a_job_did_is_told(self):
        code = "import threading\nthread = threading.Thread(target=print)\nthread.start()\nthread.join()"
        job = self.client.submit(code, timeline=True).wait(WAIT)
        timeline = job.timeline()
        self.assertEqual([thread["name"] for thread in timeline["threads"]], ["main", "thread 1"])
        self.assertEqual(timeline, job.timeline(1))
        with self.assertRaises(Problem):
            job.timeline(2)

    def test_a_schedule_is_made_listed_and_ended(self):
        schedule = self.client.add_schedule(
            "30 2 * * MON-FRI", "pass", timezone="Europe/Berlin", files={"x": b"scheduled"}, name="nightly"
        )
        self.assertEqual((schedule.cron, schedule.about["missed"]), ("30 2 * * MON-FRI", "skip"))
        self.assertRegex(schedule.next, "^20..-")
        self.assertIn(schedule.id, [other.id for other in self.client.schedules()])
        submission = self.client.schedule(schedule.id).about["submission"]
        self.assertEqual((submission["name"], list(submission["files"])), ("nightly", ["x"]))
        schedule.remove()
        self.assertNotIn(schedule.id, [other.id for other in self.client.schedules()])
        with self.assertRaisesRegex(Problem, "cron"):
            self.client.add_schedule("never", "pass")

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
