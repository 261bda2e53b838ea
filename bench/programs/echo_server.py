"""echo_server.py [gevent]: a server with a thread for each connection, until it is killed."""

import json
import sys

if sys.argv[1:] == ["gevent"]:
    from gevent import monkey

    monkey.patch_all()

import socket
import threading


def serve(connection):
    with connection:
        try:
            while data := connection.recv(4096):
                connection.sendall(data)
        except ConnectionResetError:
            pass


server = socket.create_server(("127.0.0.1", 0), backlog=4096)
print(json.dumps({"port": server.getsockname()[1]}), flush=True)
while True:
    connection, _ = server.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
