"""Python's ssl over real sockets, and OpenSSL's own programs at the other end."""

import contextlib
import subprocess
import unittest

import place
import sandbox
import servers


@contextlib.contextmanager
def s_server(*options):
    folder, port = place.folder("s_server"), servers.free_port()
    command = [place.openssl(), "s_server", "-accept", f"127.0.0.1:{port}", "-rev", *options]
    with servers.started(command, folder, port):
        yield port


class TestTLS(unittest.TestCase):
    def setUp(self):
        self.folder = place.CA.parent

    def s_client(self, port, *options):
        """What the server answers, or how s_client fails."""
        command = [place.openssl(), "s_client", "-connect", f"127.0.0.1:{port}", "-quiet"]
        command += ["-CAfile", self.folder / "ca.crt", "-verify_return_error", *options]
        done = subprocess.run(command, input="abc\n", capture_output=True, text=True, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else f"failed {done.stderr}"

    def test_openssls_client_agrees_with_a_server_in_vtwasm(self):
        with sandbox.running("tls_server", self.folder) as (port, _):
            for option, version in ("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3"):
                self.assertEqual(self.s_client(port, option, "-noservername"), f"{version} None None None cba")
            alpn = ["-alpn", "first,second", "-servername", "localhost", "-verify_hostname", "localhost"]
            self.assertEqual(self.s_client(port, *alpn), "TLSv1.3 second localhost None cba")
            other = ["-servername", "other.example", "-verify_hostname", "other.example"]
            self.assertEqual(self.s_client(port, *other), "TLSv1.3 None other.example None cba")
            wrong = ["-servername", "localhost", "-verify_hostname", "other.example"]
            self.assertIn("hostname mismatch", self.s_client(port, *wrong))
            known = ["-noservername", "-cert", self.folder / "client.pem"]
            self.assertEqual(self.s_client(port, *known), "TLSv1.3 None None test client cba")
            stranger = ["-noservername", "-cert", self.folder / "stranger.pem"]
            self.assertIn("alert unknown ca", self.s_client(port, *stranger))
            session = place.folder("session") / "session"
            self.s_client(port, "-tls1_2", "-sess_out", session)
            again = self.s_client(port, "-tls1_2", "-sess_in", session)
            self.assertEqual(again, "TLSv1.2 None None None reused cba")

    def test_a_client_in_vtwasm_agrees_with_openssls_server(self):
        named = ["-cert", self.folder / "server.pem", "-servername", "other.example"]
        named += ["-cert2", self.folder / "other.pem", "-key2", self.folder / "other.pem", "-alpn", "two"]
        strict = ["-cert", self.folder / "server.pem", "-CAfile", self.folder / "ca.crt", "-Verify", "2"]
        with s_server(*named) as port, s_server(*strict, "-verify_return_error") as strict_port:
            sandbox.check(self, "tls_client", self.folder, port, strict_port)

    def test_asyncio_speaks_tls_at_both_ends_and_with_threads(self):
        sandbox.check(self, "tls_asyncio", self.folder)
