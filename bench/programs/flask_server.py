"""flask_server.py: a small flask app on werkzeug's server with threads, until it is killed."""

import json
import logging

from flask import Flask, jsonify, request
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    return jsonify(hello=name, agent=request.headers.get("User-Agent"))


server = make_server("127.0.0.1", 0, app, threaded=True)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
