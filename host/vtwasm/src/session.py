"""The main thread of a session: each request of the host runs on a virtual thread of its own."""


def serve(space):
    import builtins
    import pkgutil
    import threading
    from functools import reduce

    import _vtwasm_session as host

    def find(path):
        first, _, rest = path.partition(".")
        for names in (space, vars(builtins)):
            if first in names:
                return reduce(getattr, rest.split(".") if rest else (), names[first])
        return pkgutil.resolve_name(path)

    def work(kind, text, args, kwargs):
        if kind == "exec":
            exec(compile(text, "<session>", "exec"), space)
        elif kind == "eval":
            return eval(compile(text, "<session>", "eval"), space)
        else:
            return find(text)(*args, **kwargs)

    def text(make, *args):
        try:
            return "".join(make(*args)).encode(errors="backslashreplace").decode()
        except Exception as error:
            return f"<{type(error).__name__}>"

    def fail(number, error):
        import traceback
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code in (answer.__code__, work.__code__):
            trace = trace.tb_next
        lines = text(traceback.format_exception, type(error), error, trace)
        host.reply(number, "error", (type(error).__name__, text(str, error), lines))

    def answer(number, *request):
        try:
            value = work(*request)
            try:
                host.reply(number, "value", value)
            except (TypeError, MemoryError):
                host.reply(number, "repr", repr(value))
        except BaseException as error:
            fail(number, error)

    for request in iter(host.next, None):
        try:
            threading.Thread(target=answer, args=request, daemon=True).start()
        except RuntimeError as error:
            fail(request[0], error)


globals().pop("serve")(globals())
