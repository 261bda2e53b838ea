# vtwasm: --allow-write=$TMP
# args: $TMP
# Files from many threads: written, renamed, listed and read back.
import os
import sys
import tempfile
import threading

folder = tempfile.mkdtemp(dir=sys.argv[1])


def work(n):
    path = os.path.join(folder, f"{n}.tmp")
    with open(path, "w", encoding="utf-8") as file:
        for i in range(100):
            file.write(f"{n} {i}\n")
    os.rename(path, os.path.join(folder, f"{n}.txt"))


threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
for t in threads:
    t.start()
for t in threads:
    t.join()
names = sorted(os.listdir(folder))
print(len(names), names[:3])
total = 0
for name in names:
    path = os.path.join(folder, name)
    with open(path, encoding="utf-8") as file:
        total += sum(1 for _ in file)
    os.remove(path)
os.rmdir(folder)
print(total, os.path.exists(folder))
