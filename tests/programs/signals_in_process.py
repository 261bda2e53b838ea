# native: no (there the end by a signal has no exit code)
# exit: 143
# A program's signals to itself, from any thread: the handler runs in the main thread, whose wait goes on.
import asyncio
import os
import signal
import threading
import time

main = threading.current_thread()


def handler(number, frame):
    print(signal.Signals(number).name, "in the main thread:", threading.current_thread() is main)


def send_soon(number):
    threading.Timer(0.05, os.kill, (os.getpid(), number)).start()


for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, handler)
os.kill(os.getpid(), signal.SIGTERM)
send_soon(signal.SIGUSR1)
began = time.monotonic()
time.sleep(0.3)
print("slept on:", time.monotonic() - began >= 0.3)
lock = threading.Lock()
lock.acquire()
send_soon(signal.SIGINT)
print("lock:", lock.acquire(timeout=0.3))
read, write = os.pipe()
send_soon(signal.SIGUSR1)
threading.Timer(0.3, os.write, (write, b"read on")).start()
print(os.read(read, 100).decode())


def stop(number, frame):
    raise SystemError("from the handler")


signal.signal(signal.SIGUSR1, stop)
send_soon(signal.SIGUSR1)
try:
    threading.Event().wait(60)
except SystemError as error:
    print(error)


async def loop():
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, told.set)
    send_soon(signal.SIGUSR1)
    await told.wait()
    print("asyncio")


asyncio.run(loop())
print(signal.SIGTERM in signal.valid_signals(), signal.sigpending())
os.kill(os.getpid(), 0)
for call in (lambda: os.waitpid(-1, os.WNOHANG), os.wait, lambda: os.kill(os.getpid(), 1000)):
    try:
        call()
    except OSError as error:
        print(type(error).__name__)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGTERM)
print("ignored", flush=True)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGTERM)
print("never printed")
