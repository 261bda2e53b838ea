"""A client of vtwasm's job service."""

from ._client import Client, Job, JobFailed, Piece, Problem

__all__ = ["Client", "Job", "JobFailed", "Piece", "Problem"]
