# /// script
# dependencies = ["requests"]
# ///
"""requests and urllib3. Arguments: the server's URLs, without and with TLS, and its authority."""

import sys
from concurrent.futures import ThreadPoolExecutor

import requests
import urllib3

plain, tls, ca = sys.argv[1:]
BIG = bytes(range(256)) * 20_000


def attempt(call):
    try:
        return call()
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        return type(error).__name__


def reason(call):
    try:
        call()
    except requests.exceptions.SSLError as error:
        for word in "self-signed", "unable to get local issuer", "not valid for", "doesn't match":
            if word in str(error):
                return word
        return str(error)


def speak(base):
    with requests.Session() as session:
        session.verify = ca
        print(session.get(f"{base}/page").text.strip())
        print(len(session.get(f"{base}/long").content), session.get(f"{base}/missing").status_code)
        print(session.post(f"{base}/dynamic/echo", json={"ä": [1, None]}).json())
        print(session.post(f"{base}/dynamic/echo", data=BIG[:1_000_000]).content == BIG[:1_000_000])
        print(session.post(f"{base}/dynamic/echo", files={"f": ("n", b"content")}).text.count("content"))
        answer = session.get(f"{base}/dynamic/redirect")
        print(answer.text.strip(), [it.status_code for it in answer.history])
        print(session.head(f"{base}/page").headers["Content-Length"])
        print(len(session.get(f"{base}/dynamic/chunked").content))
        with session.get(f"{base}/big", stream=True) as answer:
            print(b"".join(answer.iter_content(50_000)) == BIG)
        print(attempt(lambda: session.get(f"{base}/dynamic/slow/3", timeout=0.2)))
        print(attempt(lambda: session.get(f"{base}/dynamic/cut").content))
    pool = urllib3.PoolManager(ca_certs=ca, maxsize=20, block=True)
    with ThreadPoolExecutor(50) as threads:
        ask = lambda n: pool.request("GET", f"{base}/dynamic/slow/0.01?{n}").data.decode()
        print(list(threads.map(ask, range(200))) == [f"/dynamic/slow/0.01?{n}" for n in range(200)])
    (connections,) = [pool.pools[key] for key in pool.pools.keys()]
    print(connections.num_requests, connections.num_connections <= 20)
    pool.clear()


speak(plain)
speak(tls)

# Whom to trust.
print(attempt(lambda: requests.get(f"{tls}/page")), reason(lambda: requests.get(f"{tls}/page")))
other_name = tls.replace("localhost", "127.0.0.1")
print(reason(lambda: requests.get(f"{other_name}/page", verify=ca)))
print(attempt(lambda: requests.get(f"{plain.replace('http', 'https')}/page", verify=ca)))
