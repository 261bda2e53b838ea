# TLS between two ends in one program, over memory: names, protocols, certificates, by many threads.
import itertools
import os
import ssl
import threading

CERTIFICATES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tls_certificates")


def pem(name):
    return os.path.join(CERTIFICATES, name + ".pem")


class End:
    """One end: what it wants to send goes into the other's input."""

    def __init__(self, context, **options):
        self.input, self.output = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.input, self.output, **options)

    def step(self, call, *arguments):
        """The call's result, or None if it needs more from the other end."""
        try:
            return call(*arguments)
        except ssl.SSLWantReadError:
            return None


def carry(a, b):
    b.input.write(a.output.read())
    a.input.write(b.output.read())


def shake_hands(client, server):
    for _ in range(10):
        for end in (client, server):
            end.step(end.tls.do_handshake)
            carry(client, server)
        if client.tls.version() and server.tls.cipher():
            return


def server_context(name, **settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem(name))
    for key, value in settings.items():
        setattr(context, key, value)
    return context


def pair(name="server", host="localhost", client=None, server=None):
    client = client or ssl.create_default_context(cafile=pem("ca"))
    server = server or server_context(name)
    return End(client, server_hostname=host), End(server, server_side=True)


def talk(client, server, message):
    """Sends it there and back; returns what came back."""
    back = b""
    for start in range(0, len(message), 50_000):
        client.tls.write(message[start:start + 50_000])
    carry(client, server)
    there = b""
    while len(there) < len(message):
        there += server.tls.read(len(message))
    server.tls.write(there)
    carry(client, server)
    while len(back) < len(message):
        back += client.tls.read(len(message))
    return back


def plain():
    for name, host in (("server", "localhost"), ("server", "127.0.0.1"), ("server-rsa", "rsa.example")):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = ssl.create_default_context(cafile=pem("ca"))
            context.maximum_version = version
            client, server = pair(name, host, client=context)
            shake_hands(client, server)
            message = bytes(range(256)) * 1000
            print(name, host, client.tls.version(), talk(client, server, message) == message)


def names_and_protocols():
    contexts = {name: server_context(name) for name in ("server", "server-rsa")}
    asked = []

    def choose(tls, host, context):
        asked.append(host)
        if host == "rsa.example":
            tls.context = contexts["server-rsa"]

    contexts["server"].sni_callback = choose
    for context in contexts.values():
        context.set_alpn_protocols(["h2", "http/1.1"])
    for host, protocols in (("localhost", ["http/1.1"]), ("rsa.example", ["nothing", "h2"]), ("localhost", ["x"])):
        context = ssl.create_default_context(cafile=pem("ca"))
        context.set_alpn_protocols(protocols)
        client, server = pair(host=host, client=context, server=contexts["server"])
        shake_hands(client, server)
        subject = dict(entry[0] for entry in client.tls.getpeercert()["subject"])
        print(subject["commonName"], client.tls.selected_alpn_protocol())
    print(asked)


def refused():
    for name, host in (("server", "example.com"), ("expired", "localhost"), ("stranger", "localhost")):
        client, server = pair(name, host)
        try:
            shake_hands(client, server)
            print("accepted!")
        except ssl.SSLCertVerificationError as error:
            print(error.reason, error.verify_message)
        try:
            carry(client, server)
            server.tls.do_handshake()
        except ssl.SSLError as error:
            print("server:", error.reason)


def client_certificates():
    server = server_context("server", verify_mode=ssl.CERT_REQUIRED)
    server.load_verify_locations(pem("ca"))
    for name in ("client", None):
        context = ssl.create_default_context(cafile=pem("ca"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if name:
            context.load_cert_chain(pem(name))
        try:
            a, b = pair(client=context, server=server)
            shake_hands(a, b)
            print(b.tls.getpeercert()["subjectAltName"])
        except ssl.SSLError as error:
            print(error.reason)


def garbage():
    _, server = pair()
    server.input.write(b"GET / HTTP/1.1\r\n\r\n")
    try:
        server.tls.do_handshake()
    except ssl.SSLError as error:
        print(error.reason)
    client, server = pair()
    shake_hands(client, server)
    client.tls.write(b"a message that arrives damaged")
    record = bytearray(client.output.read())
    record[-1] ^= 1
    server.input.write(record)
    try:
        server.tls.read()
    except ssl.SSLError as error:
        print("damaged:", error.library)


def ends():
    client, server = pair()
    shake_hands(client, server)
    client.step(client.tls.unwrap)
    carry(client, server)
    server.step(server.tls.unwrap)
    carry(client, server)
    print(client.tls.unwrap(), client.tls.pending())


def in_many_threads(count=50):
    """Each with its own errors, on a small stack, while the others are in the middle of theirs."""
    good = server_context("server")
    gate = threading.Barrier(count)
    results = [None] * count

    def work(n):
        host = "localhost" if n % 2 else "example.com"
        client, server = pair(host=host, server=good)
        gate.wait()
        try:
            for end in itertools.islice(itertools.cycle((client, server)), 8):
                end.step(end.tls.do_handshake)
                carry(client, server)
                threading.Event().wait(0.001)
            results[n] = talk(client, server, b"%d" % n * 1000) == b"%d" % n * 1000
        except ssl.SSLError as error:
            results[n] = error.reason

    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print([results.count(result) for result in (True, "CERTIFICATE_VERIFY_FAILED")])


for test in (plain, names_and_protocols, refused, client_certificates, garbage, ends, in_many_threads):
    print("--", test.__name__)
    test()
