# /// script
# dependencies = ["flask>=3"]
# ///
"""flask on werkzeug's threaded server. It prints its port and serves until its stdin ends."""

import collections
import sys
import threading
import time

from flask import Flask, abort, jsonify, render_template_string, request, stream_with_context
from werkzeug.serving import WSGIRequestHandler, make_server

app = Flask(__name__)
counts = collections.Counter()
lock = threading.Lock()


@app.post("/echo/<int:n>")
def echo(n):
    with lock:
        counts[request.headers["X-Client"]] += 1
    time.sleep(0.02)
    return jsonify(n=n, got=request.json)


@app.get("/hello/<name>")
def hello(name):
    return render_template_string("hello {{ name }}", name=name)


@app.get("/lines/<int:count>")
def lines(count):
    return stream_with_context(f"line {n}\n" for n in range(count))


@app.get("/forbidden")
def forbidden():
    abort(403)


@app.get("/broken")
def broken():
    return 1 // 0


@app.get("/counts")
def all_counts():
    return jsonify(counts)


class Quiet(WSGIRequestHandler):
    def log_request(self, *arguments):
        pass


app.logger.disabled = True
server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
print(server.port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
server.shutdown()
