"""Producers and consumers around a bounded queue: the fast side waits for the slow one."""

import queue
import threading
import time

PRODUCERS, CONSUMERS, ITEMS = 3, 5, 20

shelf = queue.Queue(maxsize=4)
eaten = []


def produce(name: str) -> None:
    for n in range(ITEMS):
        shelf.put(f"{name}{n}")  # waits while the shelf is full


def consume() -> None:
    while (item := shelf.get()) is not None:
        time.sleep(0.005)  # eating takes time
        eaten.append(item)


producers = [threading.Thread(target=produce, args=(chr(65 + n),)) for n in range(PRODUCERS)]
consumers = [threading.Thread(target=consume) for _ in range(CONSUMERS)]
for thread in producers + consumers:
    thread.start()
for thread in producers:
    thread.join()
for _ in consumers:
    shelf.put(None)  # one end mark for each
for thread in consumers:
    thread.join()

print(f"{PRODUCERS} producers made {PRODUCERS * ITEMS} items, {CONSUMERS} consumers ate {len(eaten)}")
for n in range(PRODUCERS):
    mine = [int(item[1:]) for item in eaten if item[0] == chr(65 + n)]
    print(f"producer {chr(65 + n)}: {len(mine)} items, none twice: {len(set(mine)) == ITEMS}")
