// The worked examples.

export interface Example {
  name: string;
  code: string;
  /** What it prints. */
  output: string;
}

export const EXAMPLES: Example[] = [
  {
    name: "Hello, threads",
    code: `import threading
import time

def greet(name, delay):
    time.sleep(delay)
    print(f"hello from {name}")

threads = [threading.Thread(target=greet, args=(f"thread {i}", i / 10)) for i in range(5)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("all have said hello")
`,
    output: "hello from thread 0\nhello from thread 1\nhello from thread 2\nhello from thread 3\nhello from thread 4\nall have said hello\n",
  },
  {
    name: "Producer and consumer",
    code: `import queue
import threading

orders = queue.Queue(maxsize=2)

def cook():
    for dish in ["soup", "pasta", "cake"]:
        orders.put(dish)
    orders.put(None)

def serve():
    while (dish := orders.get()) is not None:
        print("served:", dish)
    print("kitchen closed")

threads = [threading.Thread(target=cook), threading.Thread(target=serve)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
`,
    output: "served: soup\nserved: pasta\nserved: cake\nkitchen closed\n",
  },
  {
    name: "10,000 sleepers",
    code: `import threading
import time

def sleep():
    time.sleep(2)

threads = [threading.Thread(target=sleep) for _ in range(10_000)]
for thread in threads:
    thread.start()
print(f"{len(threads):,} threads sleep")
for thread in threads:
    thread.join()
print("all awake")
`,
    output: "10,000 threads sleep\nall awake\n",
  },
  {
    name: "ThreadPoolExecutor",
    code: `import time
from concurrent.futures import ThreadPoolExecutor

def look_up(number):
    time.sleep(0.2)  # a slow service
    return number * number

with ThreadPoolExecutor(max_workers=8) as pool:
    print(list(pool.map(look_up, range(16))))
`,
    output: "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121, 144, 169, 196, 225]\n",
  },
  {
    name: "A race and its lock",
    code: `import threading
import time

class Account:
    def __init__(self):
        self.balance = 0
        self.lock = threading.Lock()

    def deposit(self, lock):
        for _ in range(10):
            if lock:
                self.lock.acquire()
            balance = self.balance
            time.sleep(0.001)  # somebody else may run here
            self.balance = balance + 1
            if lock:
                self.lock.release()

for lock in (False, True):
    account = Account()
    threads = [threading.Thread(target=account.deposit, args=(lock,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = "right" if account.balance == 100 else "wrong"
    print("with the lock:" if lock else "without:", right)
`,
    output: "without: wrong\nwith the lock: right\n",
  },
  {
    name: "asyncio beside threads",
    code: `import asyncio
import time

def blocking(name):
    time.sleep(0.3)
    return f"{name} blocked its thread only"

async def ticking():
    for i in range(3):
        print("tick", i)
        await asyncio.sleep(0.05)

async def main():
    results = await asyncio.gather(
        asyncio.to_thread(blocking, "first"), asyncio.to_thread(blocking, "second"), ticking()
    )
    print(*results[:2], sep="\\n")

asyncio.run(main())
`,
    output: "tick 0\ntick 1\ntick 2\nfirst blocked its thread only\nsecond blocked its thread only\n",
  },
];
