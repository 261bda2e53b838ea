# /// script
# dependencies = ["pg8000"]
# ///
"""pg8000: many threads, a pool, transactions, errors, TLS. Arguments: port, password, authority."""

import datetime
import decimal
import queue
import ssl
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pg8000.dbapi
import pg8000.native

port, password, ca = int(sys.argv[1]), sys.argv[2], sys.argv[3]
SERVER = dict(user="postgres", host="127.0.0.1", port=port, password=password)


def error_of(call):
    try:
        call()
    except pg8000.dbapi.InterfaceError as error:
        return type(error).__name__
    except (pg8000.dbapi.DatabaseError, pg8000.native.DatabaseError) as error:
        return error.args[0]["C"]
    except OSError as error:
        return type(error).__name__


class Pool:
    def __init__(self, size):
        self.free = queue.LifoQueue()
        for _ in range(size):
            self.free.put(pg8000.dbapi.connect(**SERVER))

    @contextmanager
    def transaction(self):
        connection = self.free.get()
        try:
            yield connection.cursor()
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        finally:
            self.free.put(connection)


pool = Pool(10)
with pool.transaction() as cursor:
    cursor.execute("create table account (id int primary key, amount numeric not null check (amount >= 0))")
    cursor.executemany("insert into account values (%s, %s)", [(n, 100) for n in range(10)])


def transfer(n):
    a, b = n % 10, (n * 7 + 3) % 10
    with pool.transaction() as cursor:
        for account in sorted({a, b}):
            cursor.execute("select amount from account where id = %s for update", (account,))
        cursor.execute("update account set amount = amount - 1 where id = %s", (a,))
        cursor.execute("update account set amount = amount + 1 where id = %s", (b,))


with ThreadPoolExecutor(100) as threads:
    list(threads.map(transfer, range(500)))
with pool.transaction() as cursor:
    cursor.execute("select count(*), sum(amount) from account")
    print(cursor.fetchall())

# A query that waits stops its thread only.
began = time.monotonic()
with ThreadPoolExecutor(10) as threads:

    def sleep(n):
        with pool.transaction() as cursor:
            cursor.execute("select pg_sleep(0.5), %s::int", (n,))
            return cursor.fetchone()[1]

    print(list(threads.map(sleep, range(10))), time.monotonic() - began < 3)

# Types there and back.
values = {
    "int": None,
    "bool": True,
    "bigint": 2**40,
    "float8": 1.5,
    "numeric": decimal.Decimal("1.10"),
    "text": "ä'\"\\",
    "bytea": b"\0\xff",
    "timestamp": datetime.datetime(2024, 2, 29, 12, 30),
    "date": datetime.date(1999, 1, 1),
    "uuid": uuid.UUID(int=7),
    "int[]": [1, 2, 3],
}
with pool.transaction() as cursor:
    cursor.execute("select " + ", ".join(f"%s::{type}" for type in values), list(values.values()))
    print(cursor.fetchone() == list(values.values()))
    cursor.execute("select repeat('x', 10000000)")
    print(len(cursor.fetchone()[0]))


# Errors, by their codes.
def run(statement):
    with pool.transaction() as cursor:
        cursor.execute(statement)


print("syntax", error_of(lambda: run("selec 1")))
print("unique", error_of(lambda: run("insert into account values (1, 1)")))
print("check", error_of(lambda: run("update account set amount = -1 where id = 1")))
print("division", error_of(lambda: run("select 1 / 0")))
print("time-out", error_of(lambda: run("set local statement_timeout = 100; select pg_sleep(10)")))
print("password", error_of(lambda: pg8000.native.Connection(**{**SERVER, "password": "wrong"})))
print("database", error_of(lambda: pg8000.native.Connection(**SERVER, database="none")))
print("port", error_of(lambda: pg8000.native.Connection(**{**SERVER, "port": 1})))

# A deadlock of the database: one of the two is told.
barrier = threading.Barrier(2)


def lock_both(first, second):
    with pool.transaction() as cursor:
        cursor.execute("update account set amount = amount where id = %s", (first,))
        barrier.wait()
        cursor.execute("update account set amount = amount where id = %s", (second,))


with ThreadPoolExecutor(2) as threads:
    both = [threads.submit(error_of, lambda: lock_both(1, 2)), threads.submit(error_of, lambda: lock_both(2, 1))]
    print("deadlock", {it.result() for it in both} == {"40P01", None})

# A server process that is ended in the middle of a query.
victim, killer = pg8000.native.Connection(**SERVER), pg8000.native.Connection(**SERVER)
((process,),) = victim.run("select pg_backend_pid()")
timer = threading.Timer(0.2, lambda: killer.run("select pg_terminate_backend(:p)", p=process))
timer.start()
print("terminated", error_of(lambda: victim.run("select pg_sleep(10)")))
timer.join()

# TLS.
context = ssl.create_default_context(cafile=ca)
secure = pg8000.native.Connection(**{**SERVER, "host": "localhost"}, ssl_context=context)
print(secure.run("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"))
secure.close()
try:
    pg8000.native.Connection(**SERVER, ssl_context=context)
except ssl.SSLCertVerificationError as error:
    print(error.verify_message)
killer.close()
