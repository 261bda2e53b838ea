"""Many threads talk over pipes and socket pairs, and each waits alone."""

import os
import socket
import threading

THREADS = 200


def double(source, sink):
    with open(source) as lines, open(sink, "w") as out:
        for line in lines:
            print(int(line) * 2, file=out, flush=True)


def ask(answers, n):
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = threading.Thread(target=double, args=(to_child, from_child))
    child.start()
    with open(from_parent, "w") as out, open(to_parent) as back:
        total = 0
        for i in range(n, n + 5):
            print(i, file=out, flush=True)
            total += int(back.readline())
        out.close()
        answers[n] = (total, back.read())
    child.join()


answers = {}
threads = [threading.Thread(target=ask, args=(answers, n)) for n in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(all(answers[n] == (2 * sum(range(n, n + 5)), "") for n in range(THREADS)))


# A ring of socket pairs: a token goes round.
def pass_on(source, sink):
    with source, sink:
        while data := source.recv(64):
            sink.sendall(str(int(data) + 1).encode())


first, source = socket.socketpair()
ring = []
for _ in range(THREADS):
    sink, following = socket.socketpair()
    ring.append(threading.Thread(target=pass_on, args=(source, sink)))
    source = following
for thread in ring:
    thread.start()
for start in (0, 1000):
    first.sendall(str(start).encode())
    print(source.recv(64).decode())
first.close()
for thread in ring:
    thread.join()
print(source.recv(64))

# One megabyte through a pair, with both directions full.
a, b = socket.socketpair()
load = os.urandom(1 << 20)


def echo():
    with b:
        while data := b.recv(100_000):
            b.sendall(data)


def send():
    a.sendall(load)
    a.shutdown(socket.SHUT_WR)


for body in (echo, send):
    threading.Thread(target=body).start()
with a, a.makefile("rb") as file:
    print(file.read() == load)
