# sqlite3 from many threads: a connection each, and one shared by all.
import sqlite3
import threading


def own(n):
    db = sqlite3.connect(":memory:")
    db.execute("create table t(x integer, y text)")
    db.executemany("insert into t values(?, ?)", ((i, str(i)) for i in range(100)))
    sums.append(db.execute("select sum(x), count(distinct y) from t").fetchone())
    db.close()


sums = []
threads = [threading.Thread(target=own, args=(n,)) for n in range(20)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(set(sums), len(sums))

shared = sqlite3.connect(":memory:", check_same_thread=False)
shared.execute("create table t(thread integer, n integer)")
lock = threading.Lock()


def insert(thread):
    for n in range(50):
        with lock, shared:
            shared.execute("insert into t values(?, ?)", (thread, n))


threads = [threading.Thread(target=insert, args=(n,)) for n in range(8)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(shared.execute("select count(*), count(distinct thread), sum(n) from t").fetchone())

strict = sqlite3.connect(":memory:")


def misuse():
    try:
        strict.execute("select 1")
    except sqlite3.ProgrammingError as error:
        print("ProgrammingError:", str(error).split(".")[0])


t = threading.Thread(target=misuse)
t.start()
t.join()

# A Python function that SQL calls may itself wait for other threads.
answer = threading.Event()
shared.create_function("ask", 0, lambda: answer.wait() and 42)
threading.Timer(0.02, answer.set).start()
print(shared.execute("select ask()").fetchone())
