"""A race, and the lock that ends it. Virtual threads are preempted as any others are."""

import threading
import time

THREADS, DEPOSITS = 20, 50


class Account:
    def __init__(self) -> None:
        self.balance = 0
        self.lock = threading.Lock()

    def deposit(self) -> None:
        balance = self.balance
        time.sleep(0)  # others run between the read and the write
        self.balance = balance + 1

    def deposit_safely(self) -> None:
        with self.lock:
            self.deposit()


def spend_a_day(method: str) -> int:
    account = Account()

    def customer() -> None:
        for _ in range(DEPOSITS):
            getattr(account, method)()

    threads = [threading.Thread(target=customer) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return account.balance


print(f"{THREADS * DEPOSITS} deposits of 1")
print("without a lock some are lost:", spend_a_day("deposit") < THREADS * DEPOSITS)
print("with a lock the balance is", spend_a_day("deposit_safely"))
