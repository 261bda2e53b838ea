"""Pack a directory into the zip that the sandbox imports from: `pack_stdlib.py DIR ZIP`.

Byte code is stored, since it is read at every import; sources are deflated, since only tracebacks
read them. The same files give the same zip, byte for byte.
"""

import os
import sys
import zipfile

# The oldest date that a zip can say.
DATE = (1980, 1, 1, 0, 0, 0)


def main(directory, target):
    paths = []
    for folder, folders, files in os.walk(directory):
        folders.sort()
        paths += [os.path.relpath(os.path.join(folder, name), directory) for name in files]
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(paths):
            info = zipfile.ZipInfo(path, DATE)
            stored = path.endswith(".pyc")
            info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
            with open(os.path.join(directory, path), "rb") as file:
                archive.writestr(info, file.read())


if __name__ == "__main__":
    main(*sys.argv[1:])
