# native: no (its names are in no folder; abstract ones are bytes there)
# Sockets of AF_UNIX by name: who can be found, what goes with the bytes, who waits and is woken.
import array
import asyncio
import errno
import os
import socket
import stat
import threading

PATH = "/run/somewhere/app.sock"


def error_of(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]


def unix(kind=socket.SOCK_STREAM):
    return socket.socket(socket.AF_UNIX, kind)


# Names.
listener = unix()
listener.bind(PATH)
print(listener.getsockname(), stat.S_ISSOCK(os.stat(PATH).st_mode), os.path.exists("/run/./x/../somewhere/app.sock"))
print("bound twice:", error_of(listener.bind, "/other"), "and by two:", error_of(unix().bind, PATH))
print("before listen:", error_of(unix().connect, PATH), "as datagrams:", error_of(unix(socket.SOCK_DGRAM).connect, PATH))
print("nobody:", error_of(unix().connect, "/none"), "abstract:", error_of(unix().connect, "\0none"))
print("a file:", error_of(unix().bind, __file__), error_of(unix().connect, __file__), error_of(open, PATH))

# A full queue of connections makes connect() wait, and accept() lets it go on.
listener.listen(0)
first, second = unix(), unix()
first.connect(PATH)
second.setblocking(False)
print("full:", error_of(second.connect, PATH))
second.setblocking(True)
waiting = threading.Thread(target=second.connect, args=(PATH,))
waiting.start()
servers = [listener.accept()[0] for _ in range(2)]
waiting.join()
print("peers:", first.getpeername() == servers[0].getsockname() == PATH, repr(servers[0].getpeername()))

# Descriptors.
read, write = os.pipe()
socket.send_fds(first, [b"abc"], [read, read])
first.send(b"def")
os.close(read)
print("peek:", servers[0].recv(2, socket.MSG_PEEK))
message, (copy, other), flags, _ = socket.recv_fds(servers[0], 100, 2)
os.write(write, b"through")
print(message, os.read(copy, 4), os.read(other, 100), flags, servers[0].recv(100))
socket.send_fds(first, [b"x"], [write, write])
os.close(write)
message, (one,), flags, _ = socket.recv_fds(servers[0], 1, 1)
print("no room:", bool(flags & socket.MSG_CTRUNC), end=" ")
socket.send_fds(first, [b"y"], [one])
os.close(one)
print("not taken:", servers[0].recv(1), "then the pipe ends:", os.read(copy, 1))
print("rubbish:", error_of(socket.send_fds, first, [b"z"], [9999]))
print("unknown:", error_of(first.sendmsg, [b"z"], [(socket.SOL_SOCKET, 99, array.array("i", [0]))]))
chain = socket.socketpair()
for _ in range(20_000):  # sockets that hold sockets that hold …
    outer = socket.socketpair()
    socket.send_fds(outer[0], [b"x"], [end.fileno() for end in chain])
    chain = outer
del chain, outer
print("a long chain ends")

# Datagrams.
server, client = unix(socket.SOCK_DGRAM), unix(socket.SOCK_DGRAM)
server.bind("\0server")
client.bind("client")
client.sendto(b"hello", "\0server")
message, name = server.recvfrom(100)
server.sendto(message.upper(), name)
print(name, client.recv(100))
client.connect("\0server")
sender = threading.Thread(target=lambda: [client.send(bytes(200_000)) for _ in range(10)])
sender.start()
print("large:", sum(len(server.recv(200_000)) for _ in range(10)))
sender.join()
server.close()
print("gone:", error_of(client.send, b"x"), error_of(unix(socket.SOCK_DGRAM).connect, "\0server"))

# The end: a name without a socket, then no name; connections that nobody accepted.
unaccepted = unix()
unaccepted.connect(PATH)
listener.close()
print("closed:", unaccepted.recv(1), error_of(unix().connect, PATH), error_of(unix().bind, PATH))
os.unlink(PATH)
print("unlinked:", error_of(unix().connect, PATH), os.path.exists(PATH), error_of(os.unlink, PATH))


async def main():
    async def upper(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_unix_server(upper, PATH):
        reader, writer = await asyncio.open_unix_connection(PATH)
        writer.write(b"asyncio\n")
        print(await reader.readline(), os.path.exists(PATH))
        writer.close()


asyncio.run(main())
print(os.path.exists(PATH))
