# threading.stack_size at both ends: too small is refused, too large is refused here or at start.
import threading

print(threading.stack_size(), threading.stack_size(0))
for bad in (1, 4096, 32 * 1024 - 1, -1):
    try:
        threading.stack_size(bad)
        print(bad, "accepted")
    except ValueError as error:
        print(bad, "ValueError:", error)


def small():
    print("a small stack works:", sum(map(int, "123")))


print(threading.stack_size(64 * 1024), threading.stack_size())
t = threading.Thread(target=small)
t.start()
t.join()

refused = 0
for huge in (1 << 30, (1 << 31) - 65536, 1 << 45, 1 << 62):
    try:
        threading.stack_size(huge)
        t = threading.Thread(target=int)
        t.start()
        t.join()
    except (ValueError, RuntimeError, OverflowError):
        refused += 1
print("the largest were refused:", refused >= 1)

threading.stack_size(0)
t = threading.Thread(target=print, args=("the default works again",))
t.start()
t.join()
