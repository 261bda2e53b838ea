# What each job's interpreter starts from: `run` is the job's code as the module __main__, then its function `main`,
# if it has one; or the entry of its bundle.

import json
import linecache
import sys
import traceback
import types


def run(warm=False):
    import vtwasm_job as host

    def call(main, arguments):
        if isinstance(arguments, dict):
            return main(**arguments)
        return main(*arguments or ())

    def of_source():
        name = "job.py"
        sys.argv[:] = [name]
        module = sys.modules["__main__"]
        # In a session it may be that of the job before.
        if not warm or getattr(module, "__file__", None) != name:
            module = sys.modules["__main__"] = types.ModuleType("__main__")
            module.__file__ = name
        elif "main" in module.__dict__:
            del module.main
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

    source, arguments, entry = host.submission()
    # Who follows the job sees each line when it is written.
    sys.stdout.reconfigure(line_buffering=True)
    try:
        main = of_bundle() if entry else of_source()
        if callable(main):
            result = call(main, json.loads(arguments))
            if isinstance(result, types.CoroutineType):
                import asyncio

                result = asyncio.run(result)
            host.result(json.dumps(result, allow_nan=False))
    except Exception as error:
        frames = error.__traceback__
        own = run.__code__.co_filename, "<frozen runpy>", "<frozen importlib._bootstrap>"
        while frames and frames.tb_frame.f_code.co_filename in own:
            frames = frames.tb_next
        traceback.print_exception(error.with_traceback(frames))
        host.failed(traceback.format_exception_only(error)[-1].strip()[:2000])
        sys.exit(1)
    finally:
        if warm:
            sys.stdout.flush()
