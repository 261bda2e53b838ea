# exit: 7
# os._exit on any thread ends the program at once: no finally, no atexit, no flush.
import atexit
import os
import threading

atexit.register(print, "never printed")
print("printed", flush=True)


def leave():
    try:
        os._exit(7)
    finally:
        print("never printed", flush=True)


threading.Thread(target=leave).start()
threading.Event().wait()
