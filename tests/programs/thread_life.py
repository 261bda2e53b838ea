# A thread's life as the threading module shows it.
import threading

main = threading.main_thread()
print("main:", main.name, main.is_alive(), main is threading.current_thread())

gate = threading.Event()
seen = []


def body(value, *, key):
    me = threading.current_thread()
    seen.append((value, key, me.name, me.daemon, me.ident == threading.get_ident()))
    gate.wait()


thread = threading.Thread(target=body, args=(1,), kwargs={"key": 2}, name="worker")
print("before:", thread.is_alive(), thread.ident, thread)
thread.start()
while not seen:
    pass
print("during:", thread.is_alive(), thread.ident is not None, threading.active_count())
print("enumerated:", sorted(t.name for t in threading.enumerate()))
thread.join(timeout=0.01)
print("a join with a time-out came back:", thread.is_alive())
gate.set()
thread.join()
thread.join()
print("after:", thread.is_alive(), threading.active_count(), seen)

for misuse in (thread.start, main.join, threading.Thread().join):
    try:
        misuse()
    except RuntimeError as error:
        print("RuntimeError:", error)


class Subclass(threading.Thread):
    def run(self):
        print("subclass runs:", self.name, self.daemon)


Subclass(name="sub", daemon=True).start()
first = Subclass(name="next")
first.start()
first.join()
print("identifiers differ:", len({t.ident for t in (main, thread, first)}) >= 2)
