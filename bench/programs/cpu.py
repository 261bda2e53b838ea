"""Nine small CPU-bound programs. Milliseconds each."""

import json
import math
import random
import re

from timing import measure, timed


def fib(n=20):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def loops():
    total = 0
    for i in range(200):
        for j in range(200):
            total += i ^ j
    return total


def nbody():
    """Three bodies that pull on each other, 300 steps."""
    bodies = [[0.0, 0.0, 0.0, 0.0, 9.0], [5.0, 0.0, 0.0, 1.3, 1.0], [0.0, 9.0, -1.0, 0.0, 0.5]]
    pairs = [(a, b) for i, a in enumerate(bodies) for b in bodies[i + 1 :]]
    for _ in range(300):
        for a, b in pairs:
            dx, dy = a[0] - b[0], a[1] - b[1]
            pull = 0.01 / math.sqrt((dx * dx + dy * dy + 0.01) ** 3)
            a[2] -= dx * b[4] * pull
            a[3] -= dy * b[4] * pull
            b[2] += dx * a[4] * pull
            b[3] += dy * a[4] * pull
        for body in bodies:
            body[0] += 0.01 * body[2]
            body[1] += 0.01 * body[3]


def dicts():
    counts = {}
    for i in range(20_000):
        key = i * 7 % 1009
        counts[key] = counts.get(key, 0) + i
    return sum(counts.values())


def strings():
    parts = []
    for i in range(5_000):
        parts.append(f"{i}:{i * i}")
    text = ",".join(parts)
    return len(text.split(",")), text.replace("1", "xx").upper()


DOCUMENT = {
    "users": [
        {"id": i, "name": f"user{i}", "tags": ["a", "b", str(i)], "score": i * 1.5, "ok": True}
        for i in range(200)
    ]
}


def json_both_ways():
    return json.loads(json.dumps(DOCUMENT))


TEXT = " ".join(f"key{i}=value{i * 31 % 977};" for i in range(800))
PAIR = re.compile(r"(\w+)=([a-z]+)(\d+);")


def regex():
    return len(PAIR.findall(TEXT)), PAIR.sub(r"\2\1", TEXT)


NUMBERS = [random.Random(7).random() for _ in range(10_000)]


def sort():
    return sorted(NUMBERS), sorted(NUMBERS, key=lambda x: -x)


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def add(self, other):
        return Point(self.x + other.x, self.y + other.y)


def objects():
    point, step = Point(0, 0), Point(1, 2)
    for _ in range(8_000):
        point = point.add(step)
    return point


PROGRAMS = {
    "fib": fib,
    "loops": loops,
    "nbody": nbody,
    "dicts": dicts,
    "strings": strings,
    "json": json_both_ways,
    "regex": regex,
    "sort": sort,
    "objects": objects,
}
print(
    json.dumps(
        {f"cpu_{name}_ms": measure(timed(body), pick=min) * 1e3 for name, body in PROGRAMS.items()}
    )
)
