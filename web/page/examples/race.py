import threading
import time

class Account:
    def __init__(self):
        self.balance = 0
        self.lock = threading.Lock()

    def deposit(self, lock):
        for _ in range(10):
            if lock:
                self.lock.acquire()
            balance = self.balance
            time.sleep(0.01)  # somebody else may run here
            self.balance = balance + 1
            if lock:
                self.lock.release()

for lock in (False, True):
    account = Account()
    threads = [threading.Thread(target=account.deposit, args=(lock,)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    right = "right" if account.balance == 100 else "wrong"
    print("with the lock:" if lock else "without:", right)
