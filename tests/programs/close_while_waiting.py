# vtwasm: --allow-net=localhost --listen
"""A descriptor that one thread closes while another waits for it: what it names stays open for that
wait, as on Linux. shutdown() does end waits."""

import errno
import os
import select
import socket
import threading
import time


def show(name, wait):
    try:
        print(name, wait(), flush=True)
    except OSError as error:
        print(name, error.strerror, flush=True)


def during(name, wait, *steps):
    """What `wait` says in a thread, while the steps are done here."""
    thread = threading.Thread(target=show, args=(name, wait))
    thread.start()
    for step in steps:
        time.sleep(0.05)
        assert thread.is_alive(), name
        step()
    thread.join()


def connected():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return socket.create_connection(server.getsockname()), server.accept()[0]


drained = []

# Bytes still come.
r, w = os.pipe()
during("pipe", lambda: os.read(r, 9), lambda: os.close(r), lambda: os.write(w, b"late"))
show("and then", lambda: os.write(w, b"x"))
os.close(w)

r, w = os.pipe()
during("writing to a pipe", lambda: os.write(w, bytes(70_000)), lambda: os.close(w),
       lambda: os.read(r, 65_536))
print("and then", len(os.read(r, 65_536)), os.read(r, 1))
os.close(r)

r, w = os.pipe()
during("the end", lambda: os.read(r, 9), lambda: os.close(r), lambda: os.close(w))

e = os.eventfd(0)
other = os.dup(e)
during("eventfd", lambda: os.eventfd_read(e), lambda: os.close(e), lambda: os.eventfd_write(other, 7))
os.close(other)

for name, pair in ("socketpair", socket.socketpair), ("TCP", connected):
    a, b = pair()
    during(name, lambda: a.recv(9), a.close, lambda: b.sendall(b"late"))
    show("and then", lambda: b.recv(1))
    b.close()

    a, b = pair()
    during(name + " sendall", lambda: a.sendall(bytes(20_000_000)), a.close,
           lambda: drained.append(sum(map(len, iter(lambda: b.recv(1 << 16), b"")))))
    print("and then", drained.pop())
    b.close()

    # Another file under the number changes nothing either.
    a, b = pair()
    c, d = pair()
    during(name + " dup2", lambda: a.recv(9), lambda: os.dup2(c.fileno(), a.fileno()),
           lambda: d.send(b"no"), lambda: b.send(b"yes"))
    for s in a, b, c, d:
        s.close()

    a, b = pair()
    during(name + " shutdown", lambda: a.recv(9), lambda: a.shutdown(socket.SHUT_RD))
    during("of the other", lambda: b.recv(9), lambda: a.shutdown(socket.SHUT_WR))
    a.close(), b.close()

    a, b = pair()
    during(name + " sendall, shutdown", lambda: a.sendall(bytes(20_000_000)),
           lambda: a.shutdown(socket.SHUT_RDWR))
    a.close(), b.close()

# A server that was closed accepts whom it waits for, and nobody else.
name_here = f"\0close while waiting {os.getpid()} {time.time()}"
for name, family, free in (("accept", socket.AF_INET, ("127.0.0.1", 0)),
                           ("accept by name", socket.AF_UNIX, name_here)):
    server = socket.socket(family)
    server.bind(free)
    server.listen()
    address = server.getsockname() if family == socket.AF_INET else free
    client = socket.socket(family)
    during(name, lambda: type(server._accept()[0]), server.close, lambda: client.connect(address))
    client.close()
    show("and then", lambda: socket.socket(family).connect(address))

    server = socket.socket(family)
    server.bind(free)
    server.listen()
    during(name + ", shutdown", lambda: server.accept(), lambda: server.shutdown(socket.SHUT_RDWR))
    server.close()

# A full backlog answers nobody, until there is room.
address = name_here
server = socket.socket(socket.AF_UNIX)
server.bind(address)
server.listen(0)
others = [socket.socket(socket.AF_UNIX) for _ in range(2)]
others[0].connect(address)
during("connect", lambda: others[1].connect(address), others[1].close, lambda: server.accept())
print("and then", server.accept()[0].recv(1))
others[1] = socket.socket(socket.AF_UNIX)
others[0].close()
others[0] = socket.socket(socket.AF_UNIX)
others[0].connect(address)
during("connect", lambda: others[1].connect(address), server.close)

datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
address = datagrams.getsockname()
sender = socket.socket(type=socket.SOCK_DGRAM)
during("recvfrom", lambda: datagrams.recvfrom(9)[0], datagrams.close,
       lambda: sender.sendto(b"late", address))

# poll and select look at the number again when something wakes them; epoll at what was registered.
for name, pair in ("socketpair", socket.socketpair), ("TCP", connected):
    a, b = pair()
    poll = select.poll()
    poll.register(a, select.POLLIN)
    number = a.fileno()
    during(name + " poll", lambda: [(fd == number, event) for fd, event in poll.poll()],
           a.close, lambda: b.send(b"late"))
    b.close()

    a, b = pair()
    c, d = pair()
    during(name + " select", lambda: [s is a for s in select.select([a, c], [], [])[0]],
           a.close, lambda: b.send(b"late"))
    for s in b, c, d:
        s.close()

    a, b = pair()
    started = time.monotonic()
    during(name + " select, time-out", lambda: [s is a for s in select.select([a], [], [], 0.3)[0]],
           a.close)
    print(0.3 <= time.monotonic() - started < 3)
    b.close()

    a, b = pair()
    again = a.dup()
    epoll = select.epoll()
    epoll.register(a, select.EPOLLIN)
    during(name + " epoll", lambda: len(epoll.poll()), a.close, lambda: b.send(b"late"))
    again.close()
    print("and then", epoll.poll(0))
    epoll.close(), b.close()

    # A wait keeps it there as well.
    a, b = pair()
    epoll = select.epoll()
    epoll.register(a, select.EPOLLIN)
    during(name + " epoll beside recv", lambda: a.recv(9), a.close,
           lambda: print(epoll.poll(0)), lambda: b.send(b"late"))
    print("and then", epoll.poll(0))
    epoll.close(), b.close()

    a, b = pair()
    epoll = select.epoll()
    epoll.register(a, select.EPOLLIN)
    during(name + " epoll closed", lambda: len(epoll.poll()), epoll.close, lambda: b.send(b"late"))
    a.close(), b.close()

# Even one that says that there is nothing to shut down.
datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.bind(("127.0.0.1", 0))
ended = threading.Event()
thread = threading.Thread(target=lambda: ended.set() if datagrams.recv(9) == b"" else None)
thread.start()
time.sleep(0.05)
try:
    datagrams.shutdown(socket.SHUT_RDWR)
except OSError as error:
    print(errno.errorcode[error.errno])
print(ended.wait(5))
