# logging from many threads: whole lines, none lost.
import io
import logging
import threading

stream = io.StringIO()
logging.basicConfig(stream=stream, level=logging.INFO, format="%(threadName)s %(message)s")


def talk():
    for n in range(50):
        logging.info("message %d", n)


threads = [threading.Thread(target=talk, name=f"t{n}") for n in range(20)]
for t in threads:
    t.start()
for t in threads:
    t.join()
lines = stream.getvalue().splitlines()
print(len(lines), len(set(lines)))
for n in range(20):
    mine = [line.split()[-1] for line in lines if line.startswith(f"t{n} ")]
    assert mine == [str(i) for i in range(50)], mine
print("each thread's lines are in order")
