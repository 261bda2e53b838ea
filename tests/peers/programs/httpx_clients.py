# /// script
# dependencies = ["httpx[http2]"]
# ///
"""httpx, with threads and with asyncio, also HTTP/2. Arguments as of requests_urllib3.py."""

import asyncio
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx

plain, tls, ca = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)


def attempt(call):
    try:
        return call()
    except httpx.HTTPError as error:
        return type(error).__name__


for base in plain, tls:
    with httpx.Client(verify=context) as client, ThreadPoolExecutor(30) as threads:
        print(client.get(f"{base}/page").text.strip(), client.get(f"{base}/page").http_version)
        paths = [f"/dynamic/slow/0.01?{n}" for n in range(100)]
        print([it.text for it in threads.map(lambda path: client.get(base + path), paths)] == paths)
        print(client.post(f"{base}/dynamic/echo", content=b"x" * 100_000).num_bytes_downloaded > 0)
        print(attempt(lambda: client.get(f"{base}/dynamic/slow/3", timeout=0.2)))
        print(attempt(lambda: client.get(f"{base}/dynamic/cut")))


async def ask_all():
    async with httpx.AsyncClient(verify=context, http2=True) as client:
        first = await client.get(f"{tls}/page")
        paths = [f"/dynamic/slow/0.01?{n}" for n in range(100)]
        answers = await asyncio.gather(*(client.get(tls + path) for path in paths))
        print(first.http_version, [it.text for it in answers] == paths)
        async with client.stream("GET", f"{tls}/big") as answer:
            print(sum([len(part) async for part in answer.aiter_bytes()]))


asyncio.run(ask_all())
other_name = tls.replace("localhost", "127.0.0.1")
for url, verify in (tls, True), (other_name, context):
    try:
        httpx.get(f"{url}/page", verify=verify)
    except httpx.ConnectError as error:
        print("certificate verify failed" in str(error))
