import queue
import threading

orders = queue.Queue(maxsize=2)

def cook():
    for dish in ["soup", "pasta", "cake"]:
        orders.put(dish)
    orders.put(None)

def serve():
    while (dish := orders.get()) is not None:
        print("served:", dish)
    print("kitchen closed")

threads = [threading.Thread(target=cook), threading.Thread(target=serve)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
