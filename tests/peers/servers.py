"""Real servers on loopback, each with a data folder of its own, until the end of a `with` block."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time

import place

START_SECONDS = 30


def free_port():
    """Below those that the kernel gives to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def as_somebody(stop=signal.SIGTERM):
    """What starts a program that ends with the tests, however they end, and is not root."""
    words = ["setpriv", f"--pdeathsig={signal.Signals(stop).name[3:]}"]
    if os.geteuid() == 0:
        words += ["--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [*words, "--"]


@contextlib.contextmanager
def started(command, folder, port, stop=signal.SIGTERM):
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*as_somebody(stop), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    try:
        wait_until_it_listens(process, port, log)
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_it_listens(process, port, log):
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError(f"{process.args[-3:]} does not listen on {port}:\n{log.read_text()[-2000:]}")


NGINX = """
daemon off;
pid nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    gzip on; gzip_types text/plain; gzip_min_length 100;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=1024;
        server_name localhost;
        ssl_certificate {certificate}; ssl_certificate_key {certificate};
        default_type text/plain;
        root www;
        location /dynamic/ {{ proxy_pass {behind}/dynamic/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


@contextlib.contextmanager
def nginx(pages, behind):
    """Serves files by itself and asks the server at `behind` for /dynamic/. Gives both its URLs."""
    folder = place.folder("nginx")
    (folder / "www").mkdir()
    for name, content in pages.items():
        (folder / "www" / name).write_bytes(content)
    port, tls_port = free_port(), free_port()
    certificate = folder / "server.pem"
    certificate.write_bytes((place.CA.parent / "server.pem").read_bytes())
    (folder / "nginx.conf").write_text(
        NGINX.format(port=port, tls_port=tls_port, certificate=certificate, behind=behind)
    )
    command = [place.program("nginx"), "-p", folder, "-c", "nginx.conf", "-e", "stderr"]
    with started(command, folder, port):
        yield f"http://localhost:{port}", f"https://localhost:{tls_port}"


PASSWORD = "secret of the tests"


@contextlib.contextmanager
def postgresql(**settings):
    """Gives its port. User and database are `postgres`; TLS is there for who wants it."""
    folder = place.folder("postgresql")
    data, password, certificate = folder / "data", folder / "password", folder / "server.pem"
    password.write_text(PASSWORD)
    certificate.write_bytes((place.CA.parent / "server.pem").read_bytes())
    certificate.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(certificate, "nobody")
    initdb = [place.program("initdb"), "-D", data, "-U", "postgres", "--no-sync", "--no-locale", "-E", "UTF8"]
    run([*as_somebody(), *initdb, "-A", "scram-sha-256", "--pwfile", password], folder)
    port = free_port()
    settings |= {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": certificate,
        "ssl_key_file": certificate,
        "fsync": "off",
        "jit": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    # An interrupt is its fast shutdown.
    command = [place.program("postgres"), "-D", data, *options]
    with started(command, folder, port, signal.SIGINT):
        yield port


@contextlib.contextmanager
def redis():
    """Gives its port."""
    folder, port = place.folder("redis"), free_port()
    command = [place.program("redis-server"), "--port", port, "--bind", "127.0.0.1", "--save", ""]
    with started([*command, "--requirepass", PASSWORD], folder, port):
        yield port


@contextlib.contextmanager
def mariadb():
    """Gives its port. The user is `tester`, the database `test`."""
    folder, port = place.folder("mariadb"), free_port()
    share = place.PEERS / "root/usr/share/mysql"
    program = [place.program("mariadbd"), "--no-defaults", f"--datadir={folder}", f"--lc-messages-dir={share}"]
    program += [f"--tmpdir={folder}", "--innodb-use-native-aio=0", "--innodb-flush-log-at-trx-commit=0"]
    tables = ["mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql"]
    statements = ["create database mysql;", "use mysql;", *((share / name).read_text() for name in tables)]
    statements += ["create database test;", "flush privileges;"]
    statements += [f"create user tester identified by '{PASSWORD}';", "grant all on test.* to tester;"]
    run([*as_somebody(), *program, "--bootstrap"], folder, "\n".join(statements))
    command = [*program, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket"]
    with started(command, folder, port):
        yield port


def run(command, folder, text=""):
    """Runs a program that comes to an end by itself."""
    command = list(map(str, command))
    done = subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(f"{command} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")
