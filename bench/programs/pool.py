"""ThreadPoolExecutor(100) does 10,000 sleeps of 1 ms. Milliseconds in all."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

began = time.perf_counter()
with ThreadPoolExecutor(100) as pool:
    done = sum(pool.map(lambda _: time.sleep(0.001) or 1, range(10_000)))
assert done == 10_000
print(json.dumps({"pool_ms": (time.perf_counter() - began) * 1e3}))
