"""A client of `openssl s_server -rev`. Arguments: the folder of certificates, the port of a server with
two names, the port of one that wants a certificate."""

import socket
import ssl
import sys

folder, port, strict_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def trusting(name="ca.crt"):
    return ssl.create_default_context(cafile=f"{folder}/{name}")


def ask(context, name="localhost", port=port, session=None, line=b"redro ni\n"):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as plain:
        with context.wrap_socket(plain, server_hostname=name, session=session) as connection:
            connection.sendall(line)
            answer = connection.makefile().readline().strip()
            agreed = connection.version(), connection.selected_alpn_protocol()
            context.last_session = connection.session
            return *agreed, answer, connection.session_reused


def refusal(*arguments, **options):
    try:
        ask(*arguments, **options)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except ssl.SSLError as error:
        return error.reason


for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
    context = trusting()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["one", "two"])
    print(*ask(context))
    print(*ask(context, session=context.last_session))
print(*ask(trusting(), "other.example"))
print(refusal(trusting(), "third.example"))
print(refusal(trusting("stranger.crt")))
old = trusting()
old.maximum_version = ssl.TLSVersion.TLSv1_2
old.set_ciphers("AES128-SHA")
print(refusal(old))
# Only after the handshake. A line that is not read any more could reset the connection before that.
print(refusal(trusting(), port=strict_port, line=b""))
known = trusting()
known.load_cert_chain(f"{folder}/client.pem")
print(*ask(known, port=strict_port))
