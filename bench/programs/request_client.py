"""request_client.py PORT COUNT: COUNT connections at once, each for one request and its answer."""

import json
import select
import socket
import sys
import time

port, count = map(int, sys.argv[1:])
REQUEST = b"GET /hello/world HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n\r\n"
WARM_UP, SECONDS = 0.5, 2.0

poller = select.epoll()
connections, answers = {}, {}


def ask():
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(REQUEST)
    connections[connection.fileno()], answers[connection.fileno()] = connection, b""
    poller.register(connection.fileno(), select.EPOLLIN)


def answered(seconds):
    """How many requests were answered in so many seconds."""
    done = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number, _ in poller.poll(1):
            if data := connections[number].recv(65536):
                answers[number] += data
                continue
            connections.pop(number).close()
            assert b'"hello":"world"' in answers[number], answers[number]
            done += 1
            ask()
    return done


for _ in range(count):
    ask()
answered(WARM_UP)
print(json.dumps({"flask_us": SECONDS / answered(SECONDS) * 1e6}))
