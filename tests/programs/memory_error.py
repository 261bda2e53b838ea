# Asking for more memory than there is raises; the program goes on afterwards.
import threading

REFUSED = (MemoryError, OverflowError)


def check(where):
    for name, ask in (
        ("bytes", lambda: b"x" * 10**13),
        ("str", lambda: "x" * 10**13),
        ("list", lambda: [None] * 10**13),
        ("bytearray", lambda: bytearray(10**13)),
        ("int", lambda: 1 << 10**14),
    ):
        try:
            ask()
            print(where, name, "came back")
        except REFUSED:
            print(where, name, "refused")


check("main:")
t = threading.Thread(target=check, args=("thread:",))
t.start()
t.join()
print("goes on:", len(b"x" * 10**6))
