"""A client of vtwasm's job service."""

from ._client import Client, File, Job, JobFailed, JobFile, Piece, Problem, Schedule

__all__ = ["Client", "File", "Job", "JobFailed", "JobFile", "Piece", "Problem", "Schedule"]
