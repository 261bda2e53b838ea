"""Jobs of one tenant."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from . import _files
from ._files import Content, File, JobFile
from ._http import Problem, Service

__all__ = ["Client", "File", "Job", "JobFailed", "JobFile", "Piece", "Problem", "Schedule"]

FINAL = ("SUCCESS", "FAILURE", "REVOKED")


class JobFailed(Exception):
    """A job whose result was asked for has not succeeded; ``job`` is the job."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} is {job.state}" + (f": {job.error}" if job.error else ""))
        self.job = job


@dataclass(frozen=True)
class Piece:
    """A piece of what a job wrote: ``stream`` is ``stdout`` or ``stderr``, ``attempt`` the start it is of."""

    attempt: int
    stream: str
    text: str


class Client:
    """A tenant's access to a service.

    Without arguments, the address is ``VTWASM_SERVER`` or http://127.0.0.1:8210, and the token ``VTWASM_TOKEN``.
    ``timeout`` is for one answer, in seconds.
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, timeout: float = 40.0) -> None:
        url = url or os.environ.get("VTWASM_SERVER") or "http://127.0.0.1:8210"
        token = token or os.environ.get("VTWASM_TOKEN") or ""
        self._service = Service(url, token, timeout)

    def submit(
        self,
        source: str = "",
        *,
        bundle: Content | None = None,
        arguments: Mapping[str, Any] | Sequence[Any] | None = None,
        files: Mapping[str, Content] | None = None,
        key: str | None = None,
        **options: Any,
    ) -> Job:
        """Submit Python code, or a ``bundle`` in its place: a zip of code, as a path or as bytes.

        ``arguments`` are those of its function ``main``. The job finds each of ``files`` below ``/input``: by its path
        there, the path of a file here, or bytes. ``options`` are the API's: ``name``, ``retries``, ``delay``,
        ``limits``, ``packages``, ``timeline``, ``entry`` (of a bundle) and others. The same ``key`` with the same
        submission gives the job that is there.
        """
        body = self._submission(source, bundle, arguments, files, options)
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return Job(self, json.loads(self._service.ask("POST", "jobs", body, headers, repeat=True)))

    def _submission(
        self,
        source: str,
        bundle: Content | None,
        arguments: Mapping[str, Any] | Sequence[Any] | None,
        files: Mapping[str, Content] | None,
        options: dict[str, Any],
    ) -> dict[str, Any]:
        body: dict[str, Any] = {"source": source, **options}
        if arguments is not None:
            body["arguments"] = arguments
        if bundle is not None:
            body["bundle"] = self.put_file(bundle)
        if files:
            body["files"] = {path: self.put_file(content) for path, content in files.items()}
        return body

    def job(self, id: str) -> Job:
        """Return a job as it is now."""
        return Job(self, self._get(f"jobs/{quote(id, safe='')}"))

    def jobs(self, *, state: str | None = None) -> Iterator[Job]:
        """Yield the tenant's jobs, the youngest first."""
        before: str | None = None
        while True:
            page = self._get("jobs", query={"state": state, "before": before})
            yield from (Job(self, about) for about in page["jobs"])
            before = page["next"]
            if before is None:
                return

    def put_file(self, content: Content) -> str:
        """Keep a file (a path, or bytes) at the service, if it is not there, and return its SHA-256."""
        return _files.put(self._service, content)

    def get_file(self, sha256: str, to: str | os.PathLike[str] | None = None) -> bytes | None:
        """Return what is in a file, or write it to the file ``to``."""
        return _files.get(self._service, f"files/{quote(sha256, safe='')}", to)

    def remove_file(self, sha256: str) -> None:
        """Remove a file that no job and no schedule has."""
        self._service.ask("DELETE", f"files/{quote(sha256, safe='')}")

    def files(self) -> Iterator[File]:
        """Yield the files that are kept: those that were put, and those that jobs have left."""
        after: str | None = None
        while True:
            page = self._get("files", query={"after": after})
            yield from (File(about["sha256"], about["bytes"]) for about in page["files"])
            after = page["next"]
            if after is None:
                return

    def add_schedule(
        self,
        cron: str,
        source: str = "",
        *,
        timezone: str = "UTC",
        missed: str = "skip",
        bundle: Content | None = None,
        arguments: Mapping[str, Any] | Sequence[Any] | None = None,
        files: Mapping[str, Content] | None = None,
        **options: Any,
    ) -> Schedule:
        """Submit the same again and again, at the times that ``cron`` tells in ``timezone``.

        What is submitted is said as for ``submit``. Turns that nobody took in time are left out, or one is made up for:
        ``missed`` is ``skip`` or ``one``.
        """
        submission = self._submission(source, bundle, arguments, files, options)
        body = {"cron": cron, "timezone": timezone, "missed": missed, "submission": submission}
        return Schedule(self, json.loads(self._service.ask("POST", "schedules", body)))

    def schedule(self, id: str) -> Schedule:
        """Return a schedule as it is now."""
        return Schedule(self, self._get(f"schedules/{quote(id, safe='')}"))

    def schedules(self) -> list[Schedule]:
        """Return the tenant's schedules, the oldest first, without what they submit."""
        return [Schedule(self, about) for about in self._get("schedules")]

    def _get(self, path: str, query: Mapping[str, str | None] | None = None) -> Any:
        return json.loads(self._service.ask("GET", path, query=query, repeat=True))


class Job:
    """A job, as it was when it was last asked for: ``refresh`` asks again.

    ``about`` is all that the service tells of it.
    """

    def __init__(self, client: Client, about: dict[str, Any]) -> None:
        self._client = client
        self.about = about

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.state}>"

    @property
    def id(self) -> str:
        return str(self.about["id"])

    @property
    def state(self) -> str:
        """``PENDING``, ``STARTED``, ``RETRY``, ``SUCCESS``, ``FAILURE`` or ``REVOKED``."""
        return str(self.about["state"])

    @property
    def error(self) -> str | None:
        """What went wrong in its last attempt."""
        return self.about["error"]

    @property
    def done(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL

    @property
    def _path(self) -> str:
        return f"jobs/{quote(self.id, safe='')}"

    def refresh(self) -> Job:
        """Ask for the job again."""
        self.about = self._client._get(self._path)
        return self

    def wait(self, timeout: float | None = None) -> Job:
        """Wait for the job's end, and return it. Raises ``TimeoutError`` after ``timeout`` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        pause = 0.01
        while not self.refresh().done:
            left = pause if end is None else end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.id} is {self.state} after {timeout} s")
            time.sleep(min(pause, left))
            pause = min(pause * 1.5, 1.0)
        return self

    def logs(self, *, follow: bool = False) -> Iterator[Piece]:
        """Yield what the job wrote in all its attempts; with ``follow``, until it is over, as it comes.

        Without ``follow``, that is one piece, of which the stream is not told.
        """
        if not follow:
            text = self._client._service.ask("GET", f"{self._path}/logs", repeat=True).decode()
            if text:
                yield Piece(self.about["attempt"], "stdout", text)
            return
        for name, data in self._client._service.events(f"{self._path}/logs"):
            if name == "log":
                yield Piece(data["attempt"], data["stream"], data["text"])
            elif name == "state":
                self.about = data
                if self.done:
                    return

    def result(self) -> Any:
        """Wait for the end, and return what ``main`` returned. Raises ``JobFailed``."""
        if self.wait().state != "SUCCESS":
            raise JobFailed(self)
        return self._client._get(f"{self._path}/result")

    def files(self) -> list[JobFile]:
        """Return what the job has left below ``/output``, in its last attempt."""
        left = self._client._get(f"{self._path}/files")["files"]
        return [JobFile(about["sha256"], about["bytes"], about["path"]) for about in left]

    def get_file(self, path: str, to: str | os.PathLike[str] | None = None) -> bytes | None:
        """Return what is in a file that the job has left, or write it to the file ``to``."""
        return _files.get(self._client._service, _files.left(self._path, path), to)

    def get_files(self, folder: str | os.PathLike[str]) -> list[str]:
        """Write all that the job has left into ``folder``, and return the paths there."""
        paths = []
        for file in self.files():
            paths.append(_files.place(os.fspath(folder), file.path))
            self.get_file(file.path, paths[-1])
        return paths

    def timeline(self, attempt: int | None = None) -> Any:
        """Return what its threads did in that attempt, or the last one, if it was submitted with ``timeline=True``."""
        query = {"attempt": None if attempt is None else str(attempt)}
        return self._client._get(f"{self._path}/timeline", query=query)

    def cancel(self) -> Job:
        """See that the job does not start any more, or ends soon."""
        return self._post("cancel")

    def retry(self) -> Job:
        """Start the job again, which has failed or was revoked."""
        return self._post("retry")

    def _post(self, what: str) -> Job:
        self.about = json.loads(self._client._service.ask("POST", f"{self._path}/{what}"))
        return self


class Schedule:
    """A submission that is made again and again; ``about`` is all that the service tells of it."""

    def __init__(self, client: Client, about: dict[str, Any]) -> None:
        self._client = client
        self.about = about

    def __repr__(self) -> str:
        return f"<Schedule {self.id} {self.cron}>"

    @property
    def id(self) -> str:
        return str(self.about["id"])

    @property
    def cron(self) -> str:
        """When its turns are."""
        return str(self.about["cron"])

    @property
    def next(self) -> str | None:
        """Its next turn, as RFC 3339 writes a time; ``None`` if there is none any more."""
        return self.about["next"]

    def remove(self) -> None:
        """End it. Its jobs stay."""
        self._client._service.ask("DELETE", f"schedules/{quote(self.id, safe='')}")
