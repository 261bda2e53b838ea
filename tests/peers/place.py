"""Where the tests run: the program under test, the servers, a folder that is gone at the end."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import certificates

# Set by prepared().
VTWASM: Path
PEERS: Path
FOLDER: Path
CA: Path
UPGRADE: bool


@contextlib.contextmanager
def prepared(vtwasm, peers, upgrade):
    global VTWASM, PEERS, FOLDER, CA, UPGRADE
    VTWASM, PEERS, UPGRADE = vtwasm, peers, upgrade
    with tempfile.TemporaryDirectory(prefix="vtwasm-peers-") as folder:
        FOLDER = Path(folder)
        if os.geteuid() == 0:
            # Servers that refuse to be root are somebody who may not look into root's cache.
            FOLDER.chmod(0o755)
            PEERS = FOLDER / "peers"
            subprocess.run(["cp", "-a", "--reflink=auto", peers, PEERS], check=True)
        CA = certificates.make(FOLDER / "certificates", openssl())
        yield


def program(name):
    """The path of a server's program."""
    return str(PEERS / "bin" / name)


def openssl():
    return program("openssl")


def folder(name):
    """A fresh folder that the servers may write to."""
    path = FOLDER / name
    if path.exists():
        shutil.rmtree(path)
    path.mkdir()
    if os.geteuid() == 0:
        shutil.chown(path, "nobody")
    return path
