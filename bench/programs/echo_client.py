"""echo_client.py PORT COUNT: COUNT connections that each send, wait for the echo, and send again.

A line when all are connected, then, for a line on stdin, the figures.
"""

import json
import select
import socket
import sys
import time

from timing import percentile

port, count = map(int, sys.argv[1:])
MESSAGE = b"x" * 64
SECONDS = 3.0


def connect():
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def measure(connections):
    poller = select.epoll()
    by_number = {connection.fileno(): connection for connection in connections}
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    echoes = dict.fromkeys(by_number, 0)
    sent = {}
    for number, connection in by_number.items():
        sent[number] = time.perf_counter()
        connection.send(MESSAGE)
    times = []
    began, cpu = time.perf_counter(), time.process_time()
    while (now := time.perf_counter()) - began < SECONDS:
        for number, _ in poller.poll(1, 512):
            if not by_number[number].recv(4096):
                raise SystemExit(f"the server closed a connection after {echoes[number]} echoes")
            now = time.perf_counter()
            times.append(now - sent[number])
            sent[number] = now
            echoes[number] += 1
            by_number[number].send(MESSAGE)
    seconds, cpu = now - began, time.process_time() - cpu
    return {
        "each_us": seconds / len(times) * 1e6,
        "p50_us": percentile(times, 0.5) * 1e6,
        "p99_us": percentile(times, 0.99) * 1e6,
        "least": min(echoes.values()),
        # What is measured is the server, as long as this is well below 1.
        "client_busy": cpu / seconds,
    }


connections = [connect() for _ in range(count)]
for connection in connections:
    connection.sendall(MESSAGE)
    connection.recv(4096)
print(json.dumps({"connected": count}), flush=True)
sys.stdin.readline()
print(json.dumps(measure(connections)), flush=True)
