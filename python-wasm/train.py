"""What Python for wasm is trained with: `cargo xtask python --profile` runs this, counts how often
each branch is taken, and the compiler lays the code out for it.

Small programs of many kinds, so that the profile favours none: arithmetic, objects, text, data
formats, the compiler, threads. The benchmarks in bench/ are not among them. They take about the same
time each, so that none drowns the others.
"""

import ast
import base64
import bisect
import collections
import contextlib
import copy
import csv
import dataclasses
import datetime
import decimal
import difflib
import fractions
import functools
import hashlib
import heapq
import html
import io
import itertools
import json
import math
import operator
import pickle
import queue
import random
import re
import sqlite3
import statistics
import string
import struct
import textwrap
import threading
import time
import tokenize
import urllib.parse
import zlib
from concurrent.futures import ThreadPoolExecutor

ROUNDS = 3
PROGRAMS = []
RANDOM = random.Random(7)
WORDS = [
    "".join(RANDOM.choices(string.ascii_lowercase, k=RANDOM.randint(2, 9))) for _ in range(4_000)
]
TEXT = " ".join(WORDS)
with open(__file__) as file:
    SOURCE = file.read()


def program(body):
    PROGRAMS.append(body)
    return body


# --- arithmetic ---


@program
def primes(limit=60_000):
    sieve = bytearray([1]) * (limit + 1)
    for i in range(2, math.isqrt(limit) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(range(i * i, limit + 1, i)))
    return [i for i in range(2, limit) if sieve[i]]


@program
def collatz():
    longest = 0
    for start in range(1, 400):
        steps, n = 0, start
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            steps += 1
        longest = max(longest, steps)
    return longest


@program
def queens(size=7):
    def place(row, columns, rising, falling):
        if row == size:
            return 1
        return sum(
            place(row + 1, columns | {c}, rising | {row + c}, falling | {row - c})
            for c in range(size)
            if c not in columns and row + c not in rising and row - c not in falling
        )

    return place(0, frozenset(), frozenset(), frozenset())


@program
def triangular_matrices(n=30):
    m = [[1.0 / (i + j + 1) + (i == j) for j in range(n)] for i in range(n)]
    for k in range(n):
        for i in range(k + 1, n):
            factor = m[i][k] / m[k][k]
            for j in range(k, n):
                m[i][j] -= factor * m[k][j]
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*m)] for row in m]


@program
def shortest_paths(n=32):
    distance = [[(i * 7 + j * 3) % 19 + 1.5 for j in range(n)] for i in range(n)]
    for k, via in enumerate(distance):
        for row in distance:
            first = row[k]
            for j in range(n):
                if first + via[j] < row[j]:
                    row[j] = first + via[j]
    return distance


@program
def mandelbrot():
    inside = 0
    for y in range(24):
        for x in range(40):
            c, z = complex(x / 20 - 1.5, y / 12 - 1), 0j
            for _ in range(30):
                z = z * z + c
                if abs(z) > 2:
                    break
            else:
                inside += 1
    return inside


@program
def springs():
    places, speeds = [i * 1.1 for i in range(40)], [0.0] * 40
    for _ in range(120):
        for i in range(39):
            stretch = places[i + 1] - places[i] - 1.0
            pull = stretch * 0.5 / (abs(stretch) ** 1.5 + 0.1)
            speeds[i] += pull
            speeds[i + 1] -= pull
        places = [place + 0.01 * speed for place, speed in zip(places, speeds)]
    return math.fsum(places), math.hypot(*speeds), max(map(math.sin, places))


@program
def fourier(n=512):
    def transform(a):
        if len(a) == 1:
            return a
        even, odd = transform(a[0::2]), transform(a[1::2])
        half, turned = len(a) // 2, []
        for k in range(half):
            angle = -2 * math.pi * k / len(a)
            turned.append(complex(math.cos(angle), math.sin(angle)) * odd[k])
        return [e + t for e, t in zip(even, turned)] + [e - t for e, t in zip(even, turned)]

    return transform([float(i % 17) for i in range(n)])


@program
def large_integers():
    product = math.prod(range(1, 400))
    digits = str(product)
    power = pow(3, 5_000, 10**50 + 7)
    small = [(i * i % 7 - (i >> 2)) ^ (i & 0x55) | (i << 3) for i in range(-1_500, 1_500)]
    return int(digits) % 97, power, divmod(product, 10**300), math.gcd(product, power), small


@program
def bits_and_checksums():
    total = 0
    for byte in TEXT[:4_000].encode():
        total ^= byte
        for _ in range(4):
            total = total >> 1 ^ 0xEDB88320 if total & 1 else total >> 1
    return total


# --- objects ---


class Node:
    def __init__(self, key):
        self.key = key
        self.left = self.right = None

    def insert(self, key):
        side = "left" if key < self.key else "right"
        child = getattr(self, side)
        if child is None:
            setattr(self, side, Node(key))
        else:
            child.insert(key)

    def find(self, key):
        node = self
        while node is not None and node.key != key:
            node = node.left if key < node.key else node.right
        return node

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.key
        if self.right:
            yield from self.right


@program
def search_tree():
    tree = Node(0.5)
    keys = [RANDOM.random() for _ in range(300)]
    for key in keys:
        tree.insert(key)
    return list(tree), [tree.find(key) for key in keys]


class Vector:
    __slots__ = ("parts",)

    def __init__(self, *parts):
        self.parts = parts

    def __add__(self, other):
        return Vector(*[a + b for a, b in zip(self.parts, other.parts)])

    def __mul__(self, factor):
        return Vector(*[part * factor for part in self.parts])

    def __eq__(self, other):
        return self.parts == other.parts

    def __hash__(self):
        return hash(self.parts)

    def __getitem__(self, index):
        return self.parts[index]

    @property
    def length(self):
        return math.sqrt(sum(part * part for part in self.parts))

    @classmethod
    def zero(cls):
        return cls(0, 0, 0)


@program
def vectors():
    seen, place = {}, Vector.zero()
    for i in range(700):
        place = place + Vector(i, 1, 2) * 0.5
        seen[place] = place.length + place[0]
    return len(seen), isinstance(place, Vector)


class Account:
    interest = 0.01

    def __init__(self, owner, balance=0):
        self.owner = owner
        self.balance = balance
        self.history = []

    def move(self, amount, *, note="", when=None):
        if self.balance + amount < 0:
            raise ValueError(f"{self.owner} has only {self.balance}")
        self.balance += amount
        self.history.append((amount, note, when))
        return self


class Savings(Account):
    def move(self, amount, **details):
        super().move(amount, **details)
        self.balance *= 1 + self.interest
        return self


@program
def accounts():
    refused = 0
    bank = {name: (Savings if i % 2 else Account)(name) for i, name in enumerate(WORDS[:50])}
    for i in range(1_500):
        account = bank[WORDS[i % 50]]
        try:
            account.move(i % 13 - 4, note="n", when=i)
        except ValueError:
            refused += 1
        finally:
            account.last = i
    return refused, sorted(bank.values(), key=lambda account: account.balance)[:5]


@dataclasses.dataclass(order=True)
class Task:
    priority: int
    name: str = ""
    needs: list = dataclasses.field(default_factory=list)


@program
def heap():
    tasks = []
    for i in range(500):
        heapq.heappush(tasks, Task(RANDOM.randrange(100), str(i)))
    return [heapq.heappop(tasks).priority for _ in range(500)]


@program
def closures_and_arguments():
    def adder(k):
        def add(x, *rest, y=1, **named):
            return x + k + y + len(rest) + len(named)

        return add

    adders, total = [adder(k) for k in range(40)], 0
    for i in range(120):
        for add in adders:
            total += add(i) if i % 2 else add(i, 5, y=2, z=3)
    return total, functools.reduce(operator.add, map(functools.partial(adder(1), y=2), range(500)))


@program
def generators():
    def evens(n):
        for i in range(n):
            got = yield i * 2
            if got:
                yield got

    chained = itertools.chain(evens(1_500), filter(None, map(abs, range(-700, 700))))
    pairs = dict(zip(range(1_000), reversed(range(1_000))))
    grouped = {key: list(group) for key, group in itertools.groupby(sorted(WORDS[:600]), lambda w: w[0])}
    return sum(itertools.islice(chained, 2_500)), sum(pairs.values()), len(grouped)


@program
def exceptions():
    caught = 0
    for i in range(6_000):
        try:
            if i % 3 == 0:
                raise ValueError(i)
            if i % 5 == 0:
                {}["missing"]
            if i % 7 == 0:
                [][1]
        except (ValueError, KeyError):
            caught += 1
        except IndexError as error:
            caught += len(error.args)
    with contextlib.suppress(ValueError):
        int("x")
    return caught


@program
def stack_machine():
    code = [("push", 0), ("push", 1), ("add",), ("dup",), ("push", 1_200), ("less",), ("jump", 1), ("halt",)]
    stack, at = [], 0
    while True:
        instruction = code[at]
        at += 1
        match instruction:
            case ("push", value):
                stack.append(value)
            case ("add",):
                stack.append(stack.pop() + stack.pop())
            case ("dup",):
                stack.append(stack[-1])
            case ("less",):
                right, left = stack.pop(), stack.pop()
                stack.append(left < right)
            case ("jump", to):
                if stack.pop():
                    at = to
            case ("halt",):
                return stack


@program
def life():
    cells = {(1, 0), (2, 1), (0, 2), (1, 2), (2, 2), (9, 9), (9, 10), (9, 11)}
    around = [(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y]
    for _ in range(80):
        near = collections.Counter((x + dx, y + dy) for x, y in cells for dx, dy in around)
        cells = {cell for cell, n in near.items() if n == 3 or n == 2 and cell in cells}
    return cells


@program
def permutations(n=7):
    order, flips = list(range(n)), 0
    for order in itertools.permutations(range(n)):
        order = list(order)
        while first := order[0]:
            order[: first + 1] = order[first::-1]
            flips += 1
    return flips


@program
def lists_and_sets():
    squares = [i * i for i in range(8_000) if i & 1]
    squares.extend(range(500))
    squares.insert(0, -1)
    del squares[10:20]
    rest = set(squares) - set(range(0, 8_000, 3))
    ring = collections.deque(squares, maxlen=300)
    for _ in range(2_000):
        ring.append(ring.popleft())
    where = [bisect.bisect(squares[:50], i) for i in range(100)]
    return len(rest), sum(ring), where, squares[::-7], tuple(squares) < (0,), squares.index(400)


# --- text ---


@program
def count_words():
    common = collections.Counter(TEXT.split()).most_common(10)
    by_length = collections.defaultdict(list)
    for word in WORDS[:1_500]:
        by_length[len(word)].append(word)
    return common, {length: sorted(words)[:3] for length, words in by_length.items()}


@program
def format_lines():
    lines = []
    for i, word in enumerate(WORDS[:500]):
        lines.append("%s-%d" % (word.title(), i))
        lines.append("{:>10}|{!r}".format(word, i))
        lines.append(f"{word:<8}{i / 7:.3f} {i:#x} {i:,}")
        if word.startswith("a") or word.endswith("z") or "qu" in word:
            lines.append(word[::-1].upper().strip().replace("A", "ä"))
    return "\n".join(lines).splitlines(), repr(lines[:50])


@program
def scan_characters():
    kinds, start = [], 0
    for i, character in enumerate(SOURCE[:12_000]):
        if character.isspace():
            if start < i:
                kinds.append((start, SOURCE[start:i]))
            start = i + 1
        elif character in "()[]{}":
            kinds.append((i, character))
            start = i + 1
    return kinds


@program
def patterns():
    text = SOURCE[:5_000]
    found = re.findall(r"def (\w+)\(([^)]*)\)", text)
    for pattern in (r"\b(\w)\w*\1\b", r"[aeiou]{2,}", r"(?i)the|if|in", r"^\s+.*?:$", r"(?P<n>\d+)_"):
        found += [match.span() for match in re.finditer(pattern, text, re.MULTILINE)]
    return found, re.split(r"[\s,]+", text), re.sub(r"(\w)(\w)", lambda m: m[2] + m[1], text[:1_500])


@program
def edit_distance(a=TEXT[:90], b=TEXT[50:140]):
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1], difflib.SequenceMatcher(None, WORDS[:60], WORDS[30:90]).ratio()


@program
def encodings():
    text = "Grüße, Καλημέρα, こんにちは 🙂 " * 20 + TEXT[:2_000]
    for name in ("utf-8", "utf-16", "latin-1", "ascii"):
        text.encode(name, "replace").decode(name)
    return textwrap.fill(text, 60), html.escape(text), text.casefold(), text.translate({97: "b"})


# --- data ---


@program
def json_documents():
    document = {"rows": [{f"k{i}": [i, i / 3, None, True, 'é\n"x"', {"z": -i}]} for i in range(120)]}
    for style in ({}, {"indent": 2}, {"sort_keys": True, "ensure_ascii": False}):
        assert json.loads(json.dumps(document, **style)) == document


@program
def pickles_and_copies():
    value = {i: (i, str(i), [i / 2, {"a": None}]) for i in range(150)}
    return pickle.loads(pickle.dumps(value)) == copy.deepcopy(value)


@program
def tables():
    file = io.StringIO()
    csv.writer(file).writerows([i, word, i / 3] for i, word in enumerate(WORDS[:300]))
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table words (n integer, word text, third real)")
        database.executemany("insert into words values (?, ?, ?)", rows)
        return database.execute("select word, sum(n) from words group by word order by 2").fetchall()


@program
def binary():
    packed = b"".join(struct.pack("<IHf", i, i & 0xFFFF, i / 7) for i in range(300))
    fields = list(struct.iter_unpack("<IHf", packed))
    digests = [hashlib.sha256(packed[i:]).hexdigest() for i in range(0, 1_000, 100)]
    assert zlib.decompress(zlib.compress(packed)) == packed
    view = memoryview(bytearray(packed))
    view[10:20] = view[20:30]
    return fields, digests, base64.b64decode(base64.b64encode(packed)), bytes(view).count(b"\0")


@program
def dates_and_numbers():
    start = datetime.datetime(2020, 1, 1)
    days = [(start + datetime.timedelta(hours=7 * i)).isoformat() for i in range(100)]
    back = [datetime.datetime.fromisoformat(day).strftime("%d.%m.%Y") for day in days]
    exact = sum((fractions.Fraction(1, i) for i in range(1, 40)), fractions.Fraction(0))
    cents = sum(decimal.Decimal(i) / 3 for i in range(150))
    links = [urllib.parse.urlsplit(f"http://a.b/c?d={i}#e") for i in range(60)]
    return back, exact, cents, links, statistics.stdev(range(200))


@program
def files():
    with open(__file__, encoding="utf-8") as file:
        lines = [line.rstrip() for line in file]
    buffer = io.BytesIO()
    writer = io.TextIOWrapper(buffer, encoding="utf-8")
    for line in lines:
        print(line, len(line), file=writer)
    writer.flush()
    return buffer.getvalue()


# --- the compiler ---


@program
def compile_source():
    part = SOURCE[: SOURCE.index("@program\ndef queens")]
    compile(ast.parse(part), "part", "exec")
    return list(tokenize.generate_tokens(io.StringIO(part[:3_000]).readline))


# --- threads ---


@program
def producers_and_consumers():
    jobs, results = queue.Queue(maxsize=8), queue.SimpleQueue()

    def consume():
        while (job := jobs.get()) is not None:
            results.put(job * job)

    consumers = [threading.Thread(target=consume) for _ in range(3)]
    for consumer in consumers:
        consumer.start()
    for i in range(150):
        jobs.put(i)
    for _ in consumers:
        jobs.put(None)
    for consumer in consumers:
        consumer.join()
    return sum(results.get() for _ in range(150))


@program
def locks():
    lock, condition, turns = threading.Lock(), threading.Condition(), []

    def take_turns(me):
        for _ in range(20):
            with condition:
                condition.wait_for(lambda: len(turns) % 2 == me)
                turns.append(me)
                condition.notify_all()

    threads = [threading.Thread(target=take_turns, args=(me,)) for me in (0, 1)]
    for thread in threads:
        thread.start()
    for _ in range(1_500):
        with lock:
            pass
        lock.acquire()
        lock.release()
    for thread in threads:
        thread.join()
    return turns


@program
def thread_pool():
    def work(n):
        time.sleep(0.0001)
        return sum(range(n)), time.monotonic()

    with ThreadPoolExecutor(8) as pool:
        return len(list(pool.map(work, range(100))))


def main():
    for number in range(ROUNDS):
        for body in PROGRAMS:
            began = time.perf_counter()
            body()
            if number == ROUNDS - 1:
                print(f"{body.__name__:26}{(time.perf_counter() - began) * 1e3:8.2f} ms")


if __name__ == "__main__":
    main()
