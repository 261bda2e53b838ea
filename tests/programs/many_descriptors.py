# native: no (its limit of descriptors is usually 1,024)
"""Ten thousand descriptors in one selector: what is ready is found, and costs what it is."""

import selectors
import socket
import time

PAIRS = 5000

pairs = [socket.socketpair() for _ in range(PAIRS)]
selector = selectors.DefaultSelector()
print(type(selector).__name__)
for n, (a, b) in enumerate(pairs):
    a.setblocking(False)
    b.setblocking(False)
    selector.register(a, selectors.EVENT_READ, n)
    selector.register(b, selectors.EVENT_READ, -n)
print(len(selector.get_map()), selector.select(0))

for n in (4999, 17, 1234):
    pairs[n][1].send(b"x")
print(sorted(key.data for key, _ in selector.select()))
for n in (4999, 17, 1234):
    pairs[n][0].recv(1)

# A round trip looks at one descriptor, not at all of them.
began = time.perf_counter()
for _ in range(200):
    pairs[42][1].send(b"x")
    [(key, events)] = selector.select()
    key.fileobj.recv(1)
print((time.perf_counter() - began) / 200 < 0.002)

for a, b in pairs:
    selector.unregister(a)
    a.close()
print(len(selector.select(0)))
for a, b in pairs:
    b.close()
selector.close()

# The numbers are used again, the lowest first.
with socket.socketpair()[0] as again:
    print(again.fileno() < 20)
