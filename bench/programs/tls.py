"""What TLS and hashes cost, for 16 KiB. Both ends in one thread, over memory: nothing waits."""

import hashlib
import json
import pathlib
import ssl

from timing import measure, timed

# Signed by itself; its key is public.
CERTIFICATE = pathlib.Path(__file__).with_name("localhost.pem")
BLOCK = bytes(1 << 14)


class End:
    def __init__(self, context, **options):
        self.input, self.output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.input, self.output, **options)

    def send_to(self, other):
        other.input.write(self.output.read())


def contexts(cipher="DEFAULT"):
    client = ssl.create_default_context(cafile=CERTIFICATE)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    if cipher != "DEFAULT":  # only TLS 1.2 lets Python choose
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(cipher)
    return client, server


def connect(contexts):
    client = End(contexts[0], server_hostname="localhost")
    server = End(contexts[1], server_side=True)
    ends = [(client, server), (server, client)]
    while not (client.tls.version() and server.tls.version()):
        for end, other in ends:
            try:
                end.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            end.send_to(other)
    return client, server


def handshakes():
    both = contexts()
    return measure(timed(lambda: connect(both)), 10, min)


def through(cipher):
    client, server = connect(contexts(cipher))

    def carry():
        client.tls.write(BLOCK)
        client.send_to(server)
        server.tls.read(len(BLOCK))

    return measure(timed(carry), 10, min)


def hashing(name):
    return measure(timed(lambda: hashlib.new(name, BLOCK).digest()), 10, min)


print(
    json.dumps(
        {
            "tls_handshake_us": handshakes() * 1e6,
            "tls_chacha20_us": through("ECDHE+CHACHA20") * 1e6,
            "tls_aes_128_gcm_us": through("ECDHE+AES128+AESGCM") * 1e6,
            "sha256_us": hashing("sha256") * 1e6,
            "sha3_256_us": hashing("sha3_256") * 1e6,
            "blake2b_us": hashing("blake2b") * 1e6,
        }
    )
)
