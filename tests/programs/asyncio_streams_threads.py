# vtwasm: --allow-net=localhost --listen
"""A loop with a server and clients in each of many threads at once; and loops that serve one another."""

import asyncio
import concurrent.futures
import threading

THREADS, CLIENTS = 30, 10


async def shout(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def ask(address, text):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(f"{text}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    await writer.wait_closed()
    return answer


async def server_and_clients(n):
    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        answers = await asyncio.gather(*(ask(address, f"{n} asks {k}") for k in range(CLIENTS)))
    return answers == [f"{n} ASKS {k}" for k in range(CLIENTS)]


with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    print(list(pool.map(lambda n: asyncio.run(server_and_clients(n)), range(THREADS))) == [True] * THREADS)


# One loop serves; the others, each in a thread, ask it, and hand it coroutines.
async def serve(ready):
    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    ready.set_result((server.sockets[0].getsockname(), loop, stop))
    async with server:
        await stop.wait()


ready = concurrent.futures.Future()
thread = threading.Thread(target=lambda: asyncio.run(serve(ready)))
thread.start()
address, loop, stop = ready.result()
with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    answers = pool.map(lambda n: asyncio.run(ask(address, f"thread {n}")), range(100))
    print(list(answers) == [f"THREAD {n}" for n in range(100)])
    handed = [asyncio.run_coroutine_threadsafe(ask(address, f"handed {n}"), loop) for n in range(100)]
    print([it.result() for it in handed] == [f"HANDED {n}" for n in range(100)])


async def from_executors():
    """Blocking clients in to_thread and in an executor of its own, while the loop goes on."""
    own = concurrent.futures.ThreadPoolExecutor(5)
    loop = asyncio.get_running_loop()
    blocking = [asyncio.to_thread(lambda n=n: asyncio.run(ask(address, f"a {n}"))) for n in range(10)]
    blocking += [loop.run_in_executor(own, lambda n=n: asyncio.run(ask(address, f"b {n}"))) for n in range(10)]
    print(sorted(await asyncio.gather(*blocking))[::10])


asyncio.run(from_executors())


async def datagrams():
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, sender):
            self.transport.sendto(data[::-1], sender)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.answer = asyncio.get_running_loop().create_future()

        def datagram_received(self, data, sender):
            self.answer.set_result(data)

    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    client, protocol = await loop.create_datagram_endpoint(
        Client, remote_addr=server.get_extra_info("sockname")
    )
    client.sendto(b"datagram")
    print(await asyncio.wait_for(protocol.answer, 30))
    client.close()
    server.close()


asyncio.run(datagrams())
loop.call_soon_threadsafe(stop.set)
thread.join()
