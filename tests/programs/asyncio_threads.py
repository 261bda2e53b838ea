"""asyncio in the main thread, in many threads at once, and between threads."""

import asyncio
import concurrent.futures
import threading
import time


async def work(n):
    await asyncio.sleep(0.01)
    return n * n


async def many(n):
    return sum(await asyncio.gather(*(work(i) for i in range(n))))


print(asyncio.run(many(100)))

# A loop for each thread.
with concurrent.futures.ThreadPoolExecutor(50) as pool:
    print(sum(pool.map(lambda n: asyncio.run(many(n)), range(50))))


async def with_threads():
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.2) for _ in range(5)))
    print("side by side", time.monotonic() - began < 0.9)
    name = await loop.run_in_executor(None, lambda: threading.current_thread() is threading.main_thread())
    print("in the main thread", name)


asyncio.run(with_threads())

# A loop in one thread serves others.
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever)
thread.start()


def ask(n):
    return asyncio.run_coroutine_threadsafe(work(n), loop).result()


with concurrent.futures.ThreadPoolExecutor(20) as pool:
    print(sum(pool.map(ask, range(100))))
loop.call_soon_threadsafe(loop.stop)
thread.join()
loop.close()


async def time_out():
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(10)
    except TimeoutError:
        print("TimeoutError")
    queue = asyncio.Queue()
    task = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        print("CancelledError")


asyncio.run(time_out())
