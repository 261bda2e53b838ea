# zlib, bz2, lzma and hashlib from many threads at once: their C state belongs to its owner.
import bz2
import hashlib
import lzma
import threading
import zlib


def pieces(n):
    for i in range(40):
        yield bytes((n * i + j) % 251 for j in range(500))


def work(n, module, make):
    compressor = make()
    packed = b""
    for piece in pieces(n):
        packed += compressor.compress(piece)
        barrier.wait()
    packed += compressor.flush()
    plain = b"".join(pieces(n))
    results.append(module.decompress(packed) == plain)
    digest = hashlib.sha256()
    for piece in pieces(n):
        digest.update(piece)
    results.append(digest.digest() == hashlib.sha256(plain).digest())


results = []
barrier = threading.Barrier(9)
makers = ((zlib, zlib.compressobj), (bz2, bz2.BZ2Compressor), (lzma, lzma.LZMACompressor))
threads = [
    threading.Thread(target=work, args=(n, *makers[n % 3])) for n in range(9)
]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(len(results), all(results))
