"""wake_client.py PORT: one connection to an echo server that has nothing else to do."""

import json
import socket
import sys
import time

from timing import percentile

ECHOES = 1_000
PAUSE_SECONDS = 0.001

connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
times = []
for _ in range(ECHOES):
    # By now the other side waits again.
    time.sleep(PAUSE_SECONDS)
    began = time.perf_counter()
    connection.sendall(b"x")
    connection.recv(1)
    times.append(time.perf_counter() - began)
print(json.dumps({"wake_us": percentile(times, 0.5) * 1e6}))
