# vtwasm: --allow-net=localhost --listen
"""A peer that does not speak TLS, or stops in the middle: an error of that connection, and of no other."""

import contextlib
import os
import socket
import ssl
import struct
import threading

FOLDER = "tls_certificates"
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain(f"{FOLDER}/server.pem")
client_context = ssl.create_default_context(cafile=f"{FOLDER}/ca.pem")


def flights():
    """What a client and a server say in a handshake, up to where each has said enough."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    client = client_context.wrap_bio(client_in, client_out, server_hostname="localhost")
    server = server_context.wrap_bio(server_in, server_out, server_side=True)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = client_out.read()
    server_in.write(hello)
    with contextlib.suppress(ssl.SSLWantReadError):
        server.do_handshake()
    return hello, server_out.read()


hello, answer = flights()
RUBBISH = {
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "another protocol": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an unknown version": b"\x16\x09\x09" + hello[3:],
    "a record that is too long": b"\x16\x03\x03\xff\xff" + bytes(70_000),
    "an empty record": b"\x16\x03\x03\x00\x00" * 100,
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "data before the handshake": b"\x17\x03\x03\x00\x20" + bytes(32),
    "nothing": b"",
    "half a record": hello[:20],
    "a hello that lies about its length": hello[:6] + b"\xff\xff\xff" + hello[9:],
    "a hello with a bit turned": hello[:60] + bytes([hello[60] ^ 1]) + hello[61:],
    "a hello and then rubbish": hello + os.urandom(100),
    "a server's answer": answer,
    "the first half of an answer": answer[: len(answer) // 2],
}


def outcome(call):
    try:
        return call()
    except ssl.SSLError:
        return "SSLError"
    except ConnectionError:
        return "ConnectionError"


def handshake(context, connection, **options):
    connection.settimeout(30)
    with contextlib.closing(connection), context.wrap_socket(connection, **options) as secure:
        return secure.recv(10)


def say(connection, rubbish):
    with contextlib.suppress(OSError), connection:
        connection.sendall(rubbish)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass


def against_rubbish(context, rubbish, **options):
    """How a handshake ends whose other end says just that."""
    ours, theirs = pair()
    thread = threading.Thread(target=say, args=(theirs, rubbish))
    thread.start()
    ended = outcome(lambda: handshake(context, ours, **options))
    thread.join()
    return ended


def pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


for name, rubbish in RUBBISH.items():
    as_server = against_rubbish(server_context, rubbish, server_side=True)
    as_client = against_rubbish(client_context, rubbish, server_hostname="localhost")
    print(f"{name}: {as_server}, {as_client}")

# Rubbish after a good handshake.
for name, rubbish in ("rubbish", b"\x17\x03\x03\x00\x30" + bytes(48)), ("no farewell", b""):
    ours, theirs = pair()

    def greet():
        secure = server_context.wrap_socket(theirs, server_side=True)
        with socket.socket(fileno=secure.detach()) as plain:
            say(plain, rubbish)

    thread = threading.Thread(target=greet)
    thread.start()
    print(name, outcome(lambda: handshake(client_context, ours, server_hostname="localhost")))
    thread.join()

# A peer that says nothing and stays.
ours, theirs = pair()
ours.settimeout(0.1)
try:
    client_context.wrap_socket(ours, server_hostname="localhost")
except TimeoutError:
    print("TimeoutError")
theirs.close()

# A reset in the middle of the handshake.
ours, theirs = pair()
theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
timer = threading.Timer(0.05, theirs.close)
timer.start()
print("reset:", outcome(lambda: handshake(client_context, ours, server_hostname="localhost")))
timer.join()

# The contexts are as good as new.
ours, theirs = pair()


def serve():
    with server_context.wrap_socket(theirs, server_side=True) as secure:
        secure.sendall(b"good")


thread = threading.Thread(target=serve)
thread.start()
print(outcome(lambda: handshake(client_context, ours, server_hostname="localhost")))
thread.join()
