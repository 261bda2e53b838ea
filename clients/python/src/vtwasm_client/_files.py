"""Files: what is given to jobs, and what they leave."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Union
from urllib.parse import quote

from ._http import Problem, Service

# A path, or what would be in the file.
Content = Union[str, "os.PathLike[str]", bytes]


@dataclass(frozen=True)
class File:
    """A file of the tenant's: its SHA-256, and its length in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class JobFile(File):
    """A file that a job has left; ``path`` is where, below ``/output``."""

    path: str


@contextmanager
def _opened(content: Content) -> Iterator[BinaryIO]:
    if isinstance(content, bytes):
        yield io.BytesIO(content)
    else:
        with open(content, "rb") as file:
            yield file


def put(service: Service, content: Content) -> str:
    """Return the name of a file at the service, which gets it if it has not got it."""
    with _opened(content) as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 16):
            digest.update(piece)
        name = digest.hexdigest()
        try:
            service.ask("HEAD", f"files/{name}", repeat=True)
        except Problem as problem:
            if problem.status != 404:
                raise
            service.ask("PUT", "files", data=file, repeat=True)
        return name


def get(service: Service, path: str, to: str | os.PathLike[str] | None) -> bytes | None:
    """Return what is at ``path``; or write it to the file ``to``, where there is nothing until it is whole."""
    if to is None:
        return service.ask("GET", path, repeat=True)
    part = f"{os.fspath(to)}.part"
    try:
        with open(part, "wb") as file:
            service.ask("GET", path, repeat=True, to=file)
        os.replace(part, to)
    finally:
        if os.path.exists(part):
            os.remove(part)
    return None


def left(job: str, path: str) -> str:
    """Return where a file that a job has left is asked for."""
    return f"{job}/files/{quote(path, safe='/')}"


def place(folder: str, path: str) -> str:
    """Return where in ``folder`` such a file goes, and make the folders to it."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise ValueError(f"{path!r} would not be below {folder!r}")
    to = os.path.join(folder, *parts)
    os.makedirs(os.path.dirname(to), exist_ok=True)
    return to
