"""The example of concurrent.futures's documentation, for many URLs. Arguments: how many, the URL of
the first pages, one that refuses."""

import concurrent.futures
import sys
import time
import urllib.request

count, base, refusing = int(sys.argv[1]), sys.argv[2], sys.argv[3]
URLS = [f"{base}/dynamic/slow/0.1?{n}" for n in range(count)] + [f"{base}/missing", refusing]


def load_url(url, timeout):
    with urllib.request.urlopen(url, timeout=timeout) as conn:
        return conn.read()


began = time.monotonic()
wrong = 0
with concurrent.futures.ThreadPoolExecutor(max_workers=200) as executor:
    future_to_url = {executor.submit(load_url, url, 60): url for url in URLS}
    for future in concurrent.futures.as_completed(future_to_url):
        url = future_to_url[future]
        try:
            data = future.result()
        except Exception as exc:
            print("generated an exception:", "404" in str(exc) or "refused" in str(exc))
        else:
            wrong += not url.endswith(data.decode())
print(wrong, "wrong")
# One after the other they would take at least that long.
print(time.monotonic() - began < count * 0.1 / 4)
