"""The main thread of a session: each request of the host runs on a virtual thread of its own."""


def serve(space):
    import builtins
    import threading
    import time
    from functools import reduce

    import _vtwasm_session as host

    def find(path):
        first, _, rest = path.partition(".")
        for names in (space, vars(builtins)):
            if first in names:
                return reduce(getattr, rest.split(".") if rest else (), names[first])
        import pkgutil
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

    def described(error):
        import traceback
        trace = error.__traceback__
        while trace and trace.tb_frame.f_code in (answer.__code__, work.__code__):
            trace = trace.tb_next
        lines = text(traceback.format_exception, type(error), error, trace)
        return type(error).__name__, text(str, error), lines

    def fail(number, error):
        try:
            host.reply(number, "error", described(error))
        except MemoryError:
            host.reply(number, "error", (type(error).__name__, "", ""))

    def answer(number, *request):
        try:
            value = work(*request)
            try:
                host.reply(number, "value", value)
            except TypeError:
                host.reply(number, "repr", repr(value))
        except BaseException as error:
            fail(number, error)

    def requests():
        seen = 0
        while True:
            try:
                request = host.next(seen)
            except MemoryError:  # the next call lets the host answer what has not arrived
                time.sleep(0.001)
                continue
            if request is None:
                return
            seen = request[0]
            yield request

    for request in requests():
        try:
            threading.Thread(target=answer, args=request, daemon=True).start()
        except Exception as error:
            fail(request[0], error)


globals().pop("serve")(globals())
