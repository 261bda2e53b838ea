# exit: 3
# sys.exit and _thread.exit end only their thread; main's sys.exit gives the code, and waits.
import _thread
import sys
import threading
import time


def leave():
    try:
        sys.exit(99)
    finally:
        print("finally in the thread")


t = threading.Thread(target=leave)
t.start()
t.join()

ended = _thread.allocate_lock()
ended.acquire()


def raw():
    try:
        _thread.exit()
    finally:
        ended.release()


_thread.start_new_thread(raw, ())
ended.acquire()
print("the raw thread ended")
threading.Thread(target=lambda: time.sleep(0.05) or print("after main's sys.exit")).start()
sys.exit(3)
