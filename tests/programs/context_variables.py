# contextvars: each thread starts with an empty context; a context can be carried over.
import contextvars
import threading

var = contextvars.ContextVar("var", default="default")
var.set("main")
seen = []


def look():
    seen.append(var.get())
    var.set("thread")
    seen.append(var.get())


def run(target):
    t = threading.Thread(target=target)
    t.start()
    t.join()


run(look)
context = contextvars.copy_context()
run(lambda: context.run(look))
print(seen, var.get(), context[var])


def many(n):
    token = var.set(n)
    barrier.wait()
    values.append(var.get() == n)
    var.reset(token)
    values.append(var.get() == "default")


values = []
barrier = threading.Barrier(50)
threads = [threading.Thread(target=many, args=(n,)) for n in range(50)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(len(values), all(values))
try:
    context.run(context.run, print)
except RuntimeError as error:
    print("RuntimeError:", str(error).split(":")[0].split(" object")[0].split("<")[0].strip())
