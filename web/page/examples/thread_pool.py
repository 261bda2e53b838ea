import time
from concurrent.futures import ThreadPoolExecutor

def look_up(number):
    time.sleep(0.2)  # a slow service
    return number * number

with ThreadPoolExecutor(max_workers=8) as pool:
    print(list(pool.map(look_up, range(16))))
