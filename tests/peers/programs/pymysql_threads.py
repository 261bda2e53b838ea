# /// script
# dependencies = ["pymysql"]
# ///
"""PyMySQL against MariaDB: threads, transactions, errors. Arguments: port, password."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pymysql

server = dict(host="127.0.0.1", port=int(sys.argv[1]), user="tester", password=sys.argv[2], database="test")
local = threading.local()


def connection():
    if not hasattr(local, "connection"):
        local.connection = pymysql.connect(**server)
    return local.connection


def execute(statement, values=()):
    with connection().cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


execute("create table counter (id int primary key, n int, text varchar(20)) engine=innodb charset=utf8mb4")
execute("insert into counter values (1, 0, %s)", ("ä😀'\\",))
connection().commit()


def count(_):
    execute("select n from counter where id = 1 for update")
    execute("update counter set n = n + 1 where id = 1")
    connection().commit()


with ThreadPoolExecutor(40) as threads:
    list(threads.map(count, range(400)))
connection().rollback()
print(execute("select n, text from counter"))
print(len(execute("select repeat('x', 1000000)")[0][0]))
for statement in "selec", "insert into counter values (1, 0, '')", "select * from none":
    try:
        execute(statement)
    except pymysql.Error as error:
        print(type(error).__name__, error.args[0])
for wrong in {"password": "wrong"}, {"port": 1}:
    try:
        pymysql.connect(**{**server, **wrong})
    except pymysql.OperationalError as error:
        print(error.args[0])
