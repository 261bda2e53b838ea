# What each job's interpreter starts from: `run` is the job's code as the module __main__, then its function `main`,
# if it has one; or the entry of its bundle.

import contextlib
import json
import linecache
import sys
import traceback
import types


def run():
    import vtwasm_job as host

    def call(main, arguments):
        if isinstance(arguments, dict):
            return main(**arguments)
        return main(*arguments or ())

    def of_source():
        name = "job.py"
        sys.argv[:] = [name]
        module = run.__dict__.get("module")  # a snapshot's, or in a session that of the job before
        if module is None:
            module = run.__dict__["module"] = types.ModuleType("__main__")
        module.__file__ = name
        module.__dict__.pop("main", None)
        sys.modules["__main__"] = module
        # Tracebacks show the lines.
        linecache.cache[name] = (len(source), None, source.splitlines(True), name)
        exec(compile(source, name, "exec"), module.__dict__)
        return module.__dict__.get("main")

    def of_bundle():
        import importlib
        import runpy
        import zipimport

        bundle = "/bundle/bundle.zip"
        zipimport.zipimporter(bundle)  # says it if it is none
        sys.path.insert(0, bundle)
        sys.argv[:] = [bundle]
        module, _, function = entry.partition(":")
        if module == "__main__":  # which this module is called already
            runpy.run_path(bundle, run_name=module)
            return None
        if not function:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            return None
        main = importlib.import_module(module)
        for name in function.split("."):
            main = getattr(main, name)
        return main

    source, arguments, entry, before = host.submission()
    # Who follows the job sees each line when it is written.
    sys.stdout.reconfigure(line_buffering=True)
    try:
        if before and "module" not in run.__dict__:  # of a snapshot that cannot be used here
            prepare(before)
        main = of_bundle() if entry else of_source()
        if callable(main):
            result = call(main, json.loads(arguments))
            if isinstance(result, types.CoroutineType):
                import asyncio

                result = asyncio.run(result)
            host.result(json.dumps(result, allow_nan=False))
    except Exception as error:
        show(error)
        host.failed(traceback.format_exception_only(error)[-1].strip()[:2000])
        sys.exit(1)


def show(error):
    frames = error.__traceback__
    own = run.__code__.co_filename, "<frozen runpy>", "<frozen importlib._bootstrap>"
    while frames and frames.tb_frame.f_code.co_filename in own:
        frames = frames.tb_next
    traceback.print_exception(error.with_traceback(frames))


def make(source):
    """Is run for a snapshot to be taken."""
    try:
        prepare(source)
    except Exception as error:
        show(error)
        sys.exit(1)


def prepare(source):
    """Runs what a snapshot is made of. Its globals are those of the jobs that start from it."""
    name = "snapshot.py"
    module = run.__dict__["module"] = types.ModuleType("__main__")
    module.__file__ = name
    own, sys.modules["__main__"] = sys.modules["__main__"], module
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    try:
        exec(compile(source, name, "exec"), module.__dict__)
    finally:
        sys.modules["__main__"] = own


def is_whole():
    """Whether a session can have another job: it can write, and is where it began, since nobody can go back to `/`."""
    import os

    if not hasattr(is_whole, "environment"):
        is_whole.environment, is_whole.folder = dict(os.environ), os.getcwd()
    return not (sys.__stdout__.closed or sys.__stderr__.closed) and os.getcwd() == is_whole.folder


def run_in_session():
    """Runs the next job of a session, and returns its exit code. What the job before was given is not there any more."""
    import io
    import os
    import vtwasm_job as host

    environment, stdin = host.given()

    def renew(environment, stdin):
        os.environ.clear()
        os.environ.update(is_whole.environment, **environment)
        sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    renew(environment, stdin)
    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    finally:
        for stream in sys.stdout, sys.__stdout__:
            with contextlib.suppress(Exception):
                stream.flush()
        renew({}, "")
    return 0
