"""Databases, by drivers in Python."""

import unittest

import place
import sandbox
import servers


class TestDatabases(unittest.TestCase):
    def test_pg8000_works_with_postgresql_from_many_threads(self):
        with servers.postgresql(max_connections=50, deadlock_timeout="100ms") as port:
            sandbox.check(self, "pg8000_threads", port, servers.PASSWORD, place.CA)

    def test_redis_is_shared_by_threads_and_by_asyncio(self):
        with servers.redis() as port:
            sandbox.check(self, "redis_threads", port, servers.PASSWORD)

    def test_pymysql_works_with_mariadb_from_many_threads(self):
        with servers.mariadb() as port:
            sandbox.check(self, "pymysql_threads", port, servers.PASSWORD)
