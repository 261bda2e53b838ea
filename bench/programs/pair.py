"""What it costs to send and to receive where nobody has to wait: a TCP connection to itself, a pair."""

import json
import socket

from timing import measure, timed

MESSAGE = b"x" * 64


def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def exchange(pair):
    one, other = pair

    def body():
        one.send(MESSAGE)
        other.recv(4096)

    return measure(timed(body), 1_000) * 1e6


print(json.dumps({"pair_tcp_us": exchange(tcp_pair()), "pair_us": exchange(socket.socketpair())}))
