"""ThreadPoolExecutor: 1,000 slow requests, 50 at a time, with time-outs and failures."""

import random
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

random.seed(2)


def fetch(number: int, seconds: float) -> str:
    """Stands for a request to a slow and moody server."""
    time.sleep(seconds)
    if number % 100 == 99:
        raise ConnectionError(f"request {number} was refused")
    return f"page {number}"


began = time.monotonic()
pages, failures = 0, []
with ThreadPoolExecutor(max_workers=50) as pool:
    requests = [pool.submit(fetch, n, random.uniform(0.001, 0.04)) for n in range(1000)]
    for request in as_completed(requests):
        try:
            request.result()
            pages += 1
        except ConnectionError as error:
            failures.append(str(error))

print(f"{pages} pages and {len(failures)} failures in {time.monotonic() - began:.1f} s")
print("for example:", min(failures))
