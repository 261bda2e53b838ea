import threading
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
