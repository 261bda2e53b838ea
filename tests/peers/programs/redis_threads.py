# /// script
# dependencies = ["redis"]
# ///
"""redis: a pool under threads, blocking commands, messages, asyncio. Arguments: port, password."""

import asyncio
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

server = dict(host="127.0.0.1", port=int(sys.argv[1]), password=sys.argv[2], decode_responses=True)
client = redis.Redis(connection_pool=redis.BlockingConnectionPool(max_connections=20, timeout=60, **server))

with ThreadPoolExecutor(100) as threads:
    list(threads.map(lambda n: client.incrby("sum", n), range(1000)))
print(client.get("sum"))
with client.pipeline() as pipeline:
    for n in range(1000):
        pipeline.rpush("list", f"ä{n}")
    pipeline.lrange("list", 0, -1)
    print(pipeline.execute()[-1] == [f"ä{n}" for n in range(1000)])
client.set("big", "x" * 5_000_000)
print(len(client.get("big")))

# A hundred threads wait for what the last one brings.
waiting = redis.Redis(**server)
with ThreadPoolExecutor(100) as threads:
    took = [threads.submit(waiting.blpop, ["jobs"], 30) for _ in range(100)]
    while len(client.client_list()) < 100:
        time.sleep(0.01)
    client.rpush("jobs", *range(100))
    print(sorted(int(it.result()[1]) for it in took) == list(range(100)))

heard = []
listener = client.pubsub()
listener.subscribe(news=lambda message: heard.append(message["data"]))
thread = listener.run_in_thread(sleep_time=0.01)
while not client.pubsub_numsub("news")[0][1]:
    time.sleep(0.01)
for n in range(5):
    client.publish("news", n)
while len(heard) < 5:
    time.sleep(0.01)
thread.stop()
thread.join()
print(heard)


async def count():
    async with redis.asyncio.Redis(**server) as client:
        await asyncio.gather(*(client.incr("count") for _ in range(50)))
        return await client.get("count")


print(asyncio.run(count()))

once = {**server, "retry": Retry(NoBackoff(), 0)}
for wrong in {"password": "wrong"}, {"port": 1}:
    try:
        redis.Redis(**{**once, **wrong}).ping()
    except redis.ConnectionError as error:
        print(type(error).__name__)
try:
    redis.Redis(**once, socket_timeout=0.2).blpop("nothing", 10)
except redis.TimeoutError as error:
    print(type(error).__name__)
