"""echo_client.py PORT COUNT: COUNT connections that each send, wait for the echo, and send again.

Runs natively whatever the server is. First one connection alone, for the time of a wake-up. A line when
all are connected, then, for a line on stdin, the figures.
"""

import json
import select
import socket
import sys
import time

port, count = map(int, sys.argv[1:])
MESSAGE = b"x" * 64
SECONDS = 4.0


def connect():
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def percentile(times, part):
    return sorted(times)[int(part * (len(times) - 1))] * 1e6


def alone():
    """The other side waits each time, since this one pauses."""
    times = []
    with connect() as connection:
        for _ in range(300):
            time.sleep(0.001)
            began = time.perf_counter()
            connection.sendall(MESSAGE)
            connection.recv(4096)
            times.append(time.perf_counter() - began)
    return percentile(times, 0.5)


def together(connections):
    poller = select.epoll()
    by_number = {connection.fileno(): connection for connection in connections}
    for number in by_number:
        poller.register(number, select.EPOLLIN)
    sent = {}
    for number, connection in by_number.items():
        sent[number] = time.perf_counter()
        connection.send(MESSAGE)
    times = []
    began = time.perf_counter()
    while time.perf_counter() - began < SECONDS:
        for number, _ in poller.poll(1):
            by_number[number].recv(4096)
            now = time.perf_counter()
            times.append(now - sent[number])
            sent[number] = now
            by_number[number].send(MESSAGE)
    return (time.perf_counter() - began) / len(times), times


wake_us = alone()
connections = [connect() for _ in range(count)]
for connection in connections:
    connection.sendall(MESSAGE)
    connection.recv(4096)
print(json.dumps({"connected": count}), flush=True)
sys.stdin.readline()
each, times = together(connections)
figures = {"wake_us": wake_us, "each_us": each * 1e6}
figures |= {"p50_us": percentile(times, 0.5), "p99_us": percentile(times, 0.99)}
print(json.dumps(figures), flush=True)
