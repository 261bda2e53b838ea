# vtwasm: --allow-net=localhost --listen
# native: no (there the waiting threads would wait for ever)
"""A descriptor that one thread closes while others wait for it: they are woken, with EBADF."""

import os
import socket
import threading
import time


def show(name, wait):
    try:
        print(name, wait())
    except OSError as error:
        print(name, error.strerror)


def close_under(name, wait, close):
    thread = threading.Thread(target=show, args=(name, wait))
    thread.start()
    time.sleep(0.02)
    close()
    thread.join()


r, w = os.pipe()
close_under("read", lambda: os.read(r, 1), lambda: os.close(r))
os.close(w)

a, b = socket.socketpair()
close_under("recv", lambda: a.recv(1), a.close)

server = socket.create_server(("127.0.0.1", 0))
close_under("accept", server.accept, server.close)

server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
close_under("recv over TCP", lambda: client.recv(1), client.close)

client = socket.create_connection(server.getsockname())
close_under("sendall", lambda: client.sendall(bytes(100_000_000)), client.close)
server.close()

# A full backlog answers nobody.
server = socket.create_server(("127.0.0.1", 0), backlog=0)
others = [socket.socket() for _ in range(5)]
for other in others:
    other.setblocking(False)
    other.connect_ex(server.getsockname())
client = socket.socket()
close_under("connect", lambda: client.connect(server.getsockname()), client.close)

datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
close_under("recvfrom", lambda: datagrams.recvfrom(1), datagrams.close)
