# A non-daemon thread outlives main; atexit runs after it, last registered first.
import atexit
import threading
import time

atexit.register(print, "atexit: registered first")
atexit.register(print, "atexit: registered second")


def late():
    time.sleep(0.05)
    print("the thread ends; main is alive:", threading.main_thread().is_alive())
    second = threading.Thread(target=print, args=("a thread started by it",))
    second.start()
    second.join()


threading.Thread(target=late).start()


@atexit.register
def last():
    print("atexit: registered last;", threading.active_count(), "thread")


print("main ends")
