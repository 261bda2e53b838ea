"""fetch.py PORT PAGES THREADS: fetches so many pages of a slow server with a pool of threads."""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

port, pages, threads = map(int, sys.argv[1:])


def fetch(number):
    with urlopen(f"http://127.0.0.1:{port}/{number}", timeout=60) as page:
        return len(page.read())


began = time.perf_counter()
with ThreadPoolExecutor(threads) as pool:
    sizes = set(pool.map(fetch, range(pages)))
seconds = time.perf_counter() - began
assert len(sizes) == 1 and sizes.pop() > 2000, "a page was cut off"
print(json.dumps({"pages_s": seconds}))
