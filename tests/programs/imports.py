# The standard library's modules import, those with C libraries work.
import importlib

MODULES = """
abc array ast asyncio base64 binascii bisect bz2 calendar cmath codecs collections
concurrent.futures configparser contextlib copy csv dataclasses datetime decimal difflib
dis email enum fractions functools gzip hashlib heapq html http.client importlib.resources inspect
io ipaddress itertools json linecache locale logging lzma math mimetypes operator optparse os
pathlib pickle pprint queue random re sched secrets selectors shlex signal socket sqlite3 stat
statistics string struct subprocess sys tarfile tempfile textwrap threading time timeit tomllib
traceback types typing unicodedata unittest urllib.parse urllib.request uuid warnings weakref
xml.etree.ElementTree xml.parsers.expat xml.sax zipfile zlib zoneinfo
""".split()

missing = []
for name in MODULES:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing.append(f"{name}: {error}")
print("missing:", missing)

import bz2, decimal, hashlib, lzma, sqlite3, unicodedata, zlib
import xml.etree.ElementTree as ET
from xml.parsers import expat

data = b"virtual threads " * 1000
for module in (zlib, bz2, lzma):
    packed = module.compress(data)
    print(module.__name__, len(packed) < 200, module.decompress(packed) == data)
print(zlib.crc32(data), zlib.adler32(data))
print(decimal.Decimal(2).sqrt(decimal.Context(prec=50)))
for name in ("md5", "sha1", "sha256", "sha3_256", "blake2b"):
    print(name, hashlib.new(name, data).hexdigest()[:16])
print(unicodedata.name("é"), unicodedata.normalize("NFD", "é").encode())
print(ET.fromstring("<a><b c='1'>x</b></a>").find("b").attrib, expat.ParserCreate() is not None)
with sqlite3.connect(":memory:") as db:
    print(db.execute("select 1 + 2, upper('x')").fetchone())
