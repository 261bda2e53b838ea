"""asyncio with TLS, both ends, and blocking clients in threads beside it. Argument: the folder of
certificates."""

import asyncio
import socket
import ssl
import sys

folder = sys.argv[1]
server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
server_context.load_cert_chain(f"{folder}/server.pem")
client_context = ssl.create_default_context(cafile=f"{folder}/ca.crt")


async def echo(reader, writer):
    while data := await reader.read(100_000):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def upgrade(reader, writer):
    """Plain until the client asks for TLS."""
    assert await reader.readline() == b"STARTTLS\n"
    writer.write(b"ready\n")
    await writer.drain()
    await writer.start_tls(server_context)
    await echo(reader, writer)


async def talk(port, data):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client_context, server_hostname="localhost"
    )
    writer.write(data)
    answer, _ = await asyncio.gather(reader.readexactly(len(data)), writer.drain())
    writer.close()
    await writer.wait_closed()
    return answer == data


def talk_in_thread(port, data):
    with socket.create_connection(("127.0.0.1", port)) as plain:
        with client_context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(data)
            return connection.makefile("rb").read(len(data)) == data


async def talk_upgraded(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"ready\n"
    await writer.start_tls(client_context, server_hostname="localhost")
    writer.write(b"secret\n")
    answer = await reader.readline()
    secret = writer.get_extra_info("ssl_object") is not None
    writer.close()
    return answer, secret


async def refused(port, name, context):
    try:
        await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=server_context)
    plain = await asyncio.start_server(upgrade, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, plain:
        print(all(await asyncio.gather(*(talk(port, b"%d" % n * 1000) for n in range(100)))))
        print(await talk(port, bytes(range(256)) * 10_000))
        threads = (asyncio.to_thread(talk_in_thread, port, b"x" * 10_000) for _ in range(30))
        print(all(await asyncio.gather(*threads)))
        print(await talk_upgraded(plain.sockets[0].getsockname()[1]))
        print(await refused(port, "other.example", client_context))
        print(await refused(port, "localhost", ssl.create_default_context()))


asyncio.run(main())
