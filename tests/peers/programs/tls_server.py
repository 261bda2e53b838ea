"""A TLS server with a thread for each connection: it tells what was agreed on and turns a line round.
Argument: the folder of certificates. It prints its port and serves until its stdin ends."""

import socket
import ssl
import sys
import threading

folder = sys.argv[1]


def context_with(name):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=f"{folder}/ca.crt")
    context.load_cert_chain(f"{folder}/{name}.pem")
    context.set_alpn_protocols(["second", "first"])
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


context, other = context_with("server"), context_with("other")


def choose(connection, name, _):
    connection.asked_for = name
    if name == "other.example":
        connection.context = other


context.sni_callback = choose


def serve(plain):
    with plain:
        try:
            with context.wrap_socket(plain, server_side=True) as connection:
                peer = connection.getpeercert()
                who = peer["subject"][0][0][1] if peer else None
                asked = getattr(connection, "asked_for", None)
                agreed = [connection.version(), connection.selected_alpn_protocol(), asked, who]
                if connection.session_reused:
                    agreed.append("reused")
                line = connection.makefile().readline().strip()
                connection.sendall(f"{' '.join(map(str, agreed))} {line[::-1]}\n".encode())
                connection.unwrap().close()
        except OSError:
            pass  # the client's test sees why


server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)


def accept():
    while True:
        threading.Thread(target=serve, args=server.accept()[:1], daemon=True).start()


threading.Thread(target=accept, daemon=True).start()
sys.stdin.read()
