# native: no (it has processes)
# What WASI has not is missing, or raises, as CPython's documentation says.
import asyncio
import os
import signal
import subprocess

for module, names in ((os, ("fork", "kill", "setuid", "wait", "waitpid")), (signal, ("alarm", "setitimer"))):
    for name in names:
        print(f"{module.__name__}.{name}:", "there" if hasattr(module, name) else "missing")


async def subprocess_of_asyncio():
    await asyncio.create_subprocess_exec("true")


for call in (
    lambda: subprocess.run(["true"]),
    lambda: subprocess.Popen("true", shell=True),
    lambda: os.fork(),
    lambda: signal.alarm(1),
    lambda: os.system("true"),
    lambda: asyncio.run(subprocess_of_asyncio()),
):
    try:
        print("came back:", call())
    except (OSError, AttributeError) as error:
        print(type(error).__name__, "|", error)

import multiprocessing

try:
    multiprocessing.Process(target=int).start()
except Exception as error:
    print("multiprocessing:", type(error).__name__)
try:
    from concurrent.futures import ProcessPoolExecutor

    ProcessPoolExecutor(1).submit(int).result()
except Exception as error:
    print("ProcessPoolExecutor:", type(error).__name__)
