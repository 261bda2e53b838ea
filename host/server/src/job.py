# What each job's interpreter starts from: `run` is the job's code as the module __main__, then its function `main`,
# if it has one.

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

    name = "job.py"
    source, arguments = host.submission()
    sys.argv[:] = [name]
    # Who follows the job sees each line when it is written.
    sys.stdout.reconfigure(line_buffering=True)
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = name
    # Tracebacks show the lines.
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    try:
        exec(compile(source, name, "exec"), module.__dict__)
        main = module.__dict__.get("main")
        if callable(main):
            result = call(main, json.loads(arguments))
            if isinstance(result, types.CoroutineType):
                import asyncio

                result = asyncio.run(result)
            host.result(json.dumps(result, allow_nan=False))
    except Exception as error:
        frames = error.__traceback__
        while frames and frames.tb_frame.f_code.co_filename == run.__code__.co_filename:
            frames = frames.tb_next
        traceback.print_exception(error.with_traceback(frames))
        host.failed(traceback.format_exception_only(error)[-1].strip()[:2000])
        sys.exit(1)
