# vtwasm: --allow-write=$TMP::/database
# native: no: it wants a folder by this name
"""Many threads, each with its own connection to one file: writers take turns, readers see whole
transactions, with a rollback journal and with a write-ahead log."""

import os
import sqlite3
import threading

WRITERS, READERS, TIMES = 8, 8, 20


def connect(path):
    return sqlite3.connect(path, timeout=60, isolation_level=None)


def write(path):
    connection = connect(path)
    for _ in range(TIMES):
        connection.execute("begin immediate")
        [(value,)] = connection.execute("select value from counters where name = 'a'")
        connection.execute("update counters set value = ? where name = 'a'", (value + 1,))
        connection.execute("update counters set value = value + 1 where name = 'b'")
        connection.execute("commit")
    connection.close()


def read(path, halves):
    connection = connect(path)
    for _ in range(TIMES):
        a, b = (value for (value,) in connection.execute("select value from counters order by name"))
        if a != b:
            halves.append((a, b))
    connection.close()


for mode in ("delete", "truncate", "persist", "memory", "wal"):
    path = f"/database/{mode}.db"
    first = connect(path)
    print(first.execute(f"pragma journal_mode = {mode}").fetchone()[0], end=": ")
    first.execute("create table counters (name text, value integer)")
    first.execute("insert into counters values ('a', 0), ('b', 0)")
    halves = []
    threads = [threading.Thread(target=write, args=(path,)) for _ in range(WRITERS)]
    threads += [threading.Thread(target=read, args=(path, halves)) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(first.execute("select value from counters").fetchall(), "half-seen:", halves, end=" ")
    print(first.execute("pragma integrity_check").fetchone()[0])

    # A reader in the midst of a transaction keeps what it sees; a second writer is told to wait.
    a, b = connect(path), sqlite3.connect(path, timeout=0, isolation_level=None)
    a.execute("begin immediate")
    a.execute("update counters set value = 0")
    print("  reads", b.execute("select value from counters").fetchall(), "beside a writer;", end=" ")
    try:
        b.execute("begin immediate")
    except sqlite3.OperationalError as error:
        print("a second one:", error)
    a.execute("rollback")
    for connection in (a, b, first):
        connection.close()

print(sorted(os.listdir("/database")))
