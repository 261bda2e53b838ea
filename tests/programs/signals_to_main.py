# _thread.interrupt_main and signal handlers: a thread interrupts main, wherever it waits.
import _thread
import signal
import threading
import time


def loop():
    while True:
        pass


def sleep_often():
    while True:
        time.sleep(0.01)


for wait in (loop, sleep_often):
    t = threading.Timer(0.05, _thread.interrupt_main)
    t.start()
    try:
        wait()
    except KeyboardInterrupt:
        print(wait.__name__, "KeyboardInterrupt")
    t.join()

received = []
old = signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
_thread.interrupt_main()
print(received == [signal.SIGINT], old is signal.default_int_handler)
signal.raise_signal(signal.SIGINT)
print(len(received))


def from_thread():
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError as error:
        print("ValueError:", error)


t = threading.Thread(target=from_thread)
t.start()
t.join()
