# vtwasm: --allow-net=localhost --listen
"""An echo server with a thread for each of 200 connections, and a client thread for each."""

import socket
import threading

CLIENTS = 200


def serve(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def accept(server):
    for _ in range(CLIENTS):
        connection, _ = server.accept()
        threading.Thread(target=serve, args=(connection,)).start()


def talk(address, n, results):
    with socket.create_connection(address) as connection:
        with connection.makefile("rw") as file:
            for i in range(10):
                print(n, i, file=file, flush=True)
                if file.readline() != f"{n} {i}\n":
                    return
            connection.shutdown(socket.SHUT_WR)
            results.append(file.read() == "")


with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as server:
    acceptor = threading.Thread(target=accept, args=(server,))
    acceptor.start()
    results = []
    clients = [
        threading.Thread(target=talk, args=(server.getsockname(), n, results)) for n in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    acceptor.join()
print(len(results), all(results))

# Errors are those of every system.
with socket.socket() as nobody:
    nobody.bind(("127.0.0.1", 0))
    address = nobody.getsockname()
try:
    socket.create_connection(address)
except ConnectionRefusedError:
    print("refused")
with socket.create_server(("127.0.0.1", 0)) as server:
    with socket.create_connection(server.getsockname()) as client:
        client.settimeout(0.05)
        try:
            client.recv(1)
        except TimeoutError:
            print("timed out")
        peer, _ = server.accept()
        peer.close()
        print(client.recv(1))
