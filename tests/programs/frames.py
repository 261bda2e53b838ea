# Other threads' stacks can be looked at, and each thread's trace function is its own.
import sys
import threading


def waits_here():
    ready.release()
    gate.wait()


ready, gate = threading.Semaphore(0), threading.Event()
threads = [threading.Thread(target=waits_here) for _ in range(3)]
for t in threads:
    t.start()
for _ in threads:
    ready.acquire()
found = 0
for frame in sys._current_frames().values():
    while frame:
        found += frame.f_code is waits_here.__code__
        frame = frame.f_back
print("stacks:", len(sys._current_frames()), found)
gate.set()
for t in threads:
    t.join()

calls = []
threading.settrace(lambda frame, event, arg: calls.append(frame.f_code.co_name))
t = threading.Thread(target=lambda: (lambda: None)())
t.start()
t.join()
threading.settrace(None)
print("traced:", calls.count("<lambda>"), sys.gettrace())
