//! What can go wrong with a connection, and what a run leaves behind.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::time::{Duration, Instant};

use vtwasm::{Network, Outcome, Report};

use crate::{alone, loopback, open_sockets, printed, program, telling};

/// A full backlog: the kernel drops what comes then, as a black hole does.
const BLACK_HOLE: &str = "import socket
server = socket.create_server(('127.0.0.1', 0), backlog=0)
address = server.getsockname()
full = []
for _ in range(5):
    s = socket.socket(); s.setblocking(False)
    s.connect_ex(address); full.append(s)
";

/// A thread that ticks until `running` is false, to show that others go on.
const TICKER: &str = "import threading, time
ticks = 0
def tick():
    global ticks
    while running:
        time.sleep(0.001); ticks += 1
running = True
ticker = threading.Thread(target=tick); ticker.start()
";

/// Interrupts a program that has printed a line and then waits. How it ended, and how long that took.
async fn interrupted(code: &str) -> (Report, Duration) {
    let (stdout, ready) = telling();
    let sandbox = program(code).stdout(stdout).build().unwrap();
    let handle = sandbox.handle();
    let run = tokio::spawn(sandbox.run());
    ready.await.expect("it gets there");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let began = Instant::now();
    handle.interrupt();
    let report = tokio::time::timeout(Duration::from_secs(60), run).await;
    (report.unwrap().unwrap().unwrap(), began.elapsed())
}

#[tokio::test]
async fn a_server_that_is_gone_in_mid_transfer_is_an_error_of_the_connection() {
    let _alone = alone().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        connection.write_all(&[b'x'; 1000]).unwrap();
        // What is unread at the close makes it a reset.
        let mut byte = [0];
        connection.read_exact(&mut byte).unwrap();
    });
    let code = format!(
        "import socket
client = socket.create_connection(('127.0.0.1', {port}))
got = b''
client.sendall(b'two')
try:
    while part := client.recv(300): got += part
except ConnectionResetError: print(len(got) <= 1000, 'reset')
try:
    while True: client.sendall(b'x' * 1000)
except (BrokenPipeError, ConnectionResetError): print('broken')
client.close()
try: socket.create_connection(('127.0.0.1', {port}))
except ConnectionRefusedError: print('refused')"
    );
    assert_eq!(
        printed(&mut program(&code)).await,
        "True reset\nbroken\nrefused\n"
    );
    server.join().unwrap();
}

#[tokio::test]
async fn a_peer_that_never_answers_stops_only_its_thread_and_until_its_time_out() {
    let _alone = alone().await;
    let code = "began = time.monotonic()
try: socket.create_connection(address, timeout=0.3)
except TimeoutError: print('timed out', 0.3 <= time.monotonic() - began < 3)
running = False; ticker.join()
print(ticks > 30)";
    let said = printed(&mut program(&format!("{BLACK_HOLE}{TICKER}{code}"))).await;
    assert_eq!(said, "timed out True\nTrue\n");
}

#[tokio::test]
async fn look_ups_that_fail_or_take_long_stop_only_their_thread() {
    let _alone = alone().await;
    let mut network = Network::closed();
    network.allow("*").unwrap().look_up_with(|name| match name {
        "slow.example" => {
            std::thread::sleep(Duration::from_millis(300));
            Ok(vec![IpAddr::from([192, 0, 2, 1])])
        }
        "unknown.example" => Err(io::ErrorKind::NotFound.into()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    });
    let code = "import socket
print(socket.gethostbyname('slow.example'))
running = False; ticker.join()
print(ticks > 30)
for name in 'unknown.example', 'late.example':
    try: socket.getaddrinfo(name, 80)
    except socket.gaierror as error: print(error.errno == socket.EAI_NONAME)";
    let said = printed(program(&format!("{TICKER}{code}")).network(network)).await;
    assert_eq!(said, "192.0.2.1\nTrue\nTrue\nFalse\n");
}

#[tokio::test]
async fn ctrl_c_interrupts_accept_and_receive() {
    let _alone = alone().await;
    for wait in [
        "server.accept()",
        "client.recv(1)",
        "socket.create_connection(address).recv(1)",
    ] {
        let code = format!(
            "import socket, threading
server = socket.create_server(('127.0.0.1', 0))
address = server.getsockname()
client = socket.create_connection(address)
kept = [server.accept()]
threading.Thread(target=lambda: kept.append(server.accept()), daemon=True).start()
try:
    print('ready', flush=True)
    {wait}
except KeyboardInterrupt: raise SystemExit(7)"
        );
        let (report, _) = interrupted(&code).await;
        let stderr = String::from_utf8_lossy(&report.stderr);
        assert_eq!(report.outcome, Outcome::Exited(7), "{wait}: {stderr}");
    }
}

/// 10,000 sockets, half of them with a thread that waits: whatever ends the run, nothing is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_killed_with_ten_thousand_sockets_leaves_no_descriptor_and_no_task() {
    let _alone = alone().await;
    let code = "import socket, threading, time
sockets = []
for n in range(10_000):
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 0)); sockets.append(s)
    if n % 2: threading.Thread(target=s.recv, args=(1,), daemon=True).start()
threading.Thread(target=socket.getaddrinfo, args=('slow.example', 80), daemon=True).start()
print('ready', flush=True)
time.sleep(3600)";
    let before = open_sockets();
    let (stdout, ready) = telling();
    let mut network = loopback();
    network.allow("slow.example").unwrap().look_up_with(|_| {
        std::thread::sleep(Duration::from_millis(500));
        Ok(vec![])
    });
    let sandbox = program(code).network(network).stdout(stdout).build().unwrap();
    let handle = sandbox.handle();
    let run = tokio::spawn(sandbox.run());
    ready.await.expect("it opens them");
    assert!(open_sockets() >= 10_000, "{} are open", open_sockets());
    let killed = Instant::now();
    handle.kill();
    let report = run.await.unwrap().unwrap();
    assert_eq!(report.outcome, Outcome::Killed);
    assert_eq!(open_sockets(), before, "they are closed when the run is over");
    assert!(
        killed.elapsed() < Duration::from_secs(10),
        "{:?}",
        killed.elapsed()
    );
    assert_eq!(report.usage.peak_sockets, 10_001);
    // tokio counts a task that has ended a little longer.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let gone = async {
        while tasks() > 0 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("no task is left");
}

#[tokio::test]
async fn dropping_the_run_closes_its_sockets() {
    let _alone = alone().await;
    let code = "import socket, time
sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(100)]
print('ready', flush=True)
sockets[0].accept()";
    let before = open_sockets();
    let (stdout, ready) = telling();
    let mut run = Box::pin(program(code).stdout(stdout).build().unwrap().run());
    tokio::select! {
        _ = &mut run => unreachable!("nobody connects"),
        _ = ready => assert!(open_sockets() >= before + 100),
    }
    drop(run);
    assert_eq!(open_sockets(), before);
}

#[tokio::test]
async fn a_flood_of_datagrams_starves_neither_sleepers_nor_others() {
    let _alone = alone().await;
    let code = "import socket, threading, time
a = socket.socket(type=socket.SOCK_DGRAM); a.bind(('127.0.0.1', 0))
running = True
def flood():
    s = socket.socket(type=socket.SOCK_DGRAM)
    while running: s.sendto(b'x', a.getsockname())
def drain():
    a.settimeout(0.1)
    while running:
        try: a.recv(10)
        except TimeoutError: pass
threads = [threading.Thread(target=f) for f in (flood, flood, drain)]
for t in threads: t.start()
late = 0
for _ in range(50):
    began = time.monotonic(); time.sleep(0.005)
    late = max(late, time.monotonic() - began - 0.005)
running = False
for t in threads: t.join()
print(late < 0.5)";
    assert_eq!(printed(&mut program(code)).await, "True\n");
}

#[tokio::test]
async fn a_black_hole_without_a_time_out_is_waited_for_until_somebody_interrupts() {
    let _alone = alone().await;
    let before = open_sockets();
    let code = format!(
        "{BLACK_HOLE}
import threading, time
try:
    threading.Timer(0.2, print, ('ready',), {{'flush': True}}).start()
    socket.create_connection(address)
except KeyboardInterrupt: raise SystemExit(7)"
    );
    let (report, waited) = interrupted(&code).await;
    let stderr = String::from_utf8_lossy(&report.stderr);
    assert_eq!(report.outcome, Outcome::Exited(7), "{stderr}");
    assert!(waited < Duration::from_secs(5), "{waited:?} after the interrupt");
    assert_eq!(open_sockets(), before);
}

#[tokio::test]
async fn a_refused_connection_is_an_error_at_once_however_it_is_made() {
    let _alone = alone().await;
    let code = "import asyncio, errno, os, select, socket
with socket.create_server(('127.0.0.1', 0)) as server: address = server.getsockname()
def show(call, *arguments):
    try: call(*arguments)
    except ConnectionRefusedError: print('refused')
show(socket.create_connection, address)
show(socket.create_connection, address, 30)
s = socket.socket(); print(s.connect_ex(address) == errno.ECONNREFUSED)
s = socket.socket(); s.setblocking(False)
if s.connect_ex(address) == errno.EINPROGRESS: select.select([], [s], [])
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED))
show(asyncio.run, asyncio.wait_for(asyncio.open_connection(*address), 30))
d = socket.socket(type=socket.SOCK_DGRAM); d.connect(address); d.send(b'x')
show(d.recv, 1)";
    let said = printed(&mut program(code)).await;
    assert_eq!(said, "refused\nrefused\nTrue\nTrue\nrefused\nrefused\n");
}

/// Half of the slow clients say nothing, which the server's time-out ends; half send a byte now and then.
#[tokio::test]
async fn a_thousand_slow_clients_do_not_keep_a_server_of_threads_from_the_others() {
    let _alone = alone().await;
    let before = open_sockets();
    let code = "import http.server, socket, threading, time, urllib.request
class Page(http.server.BaseHTTPRequestHandler):
    timeout = 2
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'page')
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
server = Server(('127.0.0.1', 0), Page)
threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
address = server.server_address
def slow_client():
    s = socket.create_connection(address); s.sendall(b'GET / HTTP/1.1'); return s
silent, trickling = ([slow_client() for _ in range(500)] for _ in range(2))
while threading.active_count() < 1002: time.sleep(0.01)
began = time.monotonic()
slowest = 0
while time.monotonic() - began < 4:
    for s in trickling: s.sendall(b'x')
    asked = time.monotonic()
    assert urllib.request.urlopen('http://{}:{}/'.format(*address), timeout=30).read() == b'page'
    slowest = max(slowest, time.monotonic() - asked)
    time.sleep(0.1)
print('good clients wait', 'little' if slowest < 1 else slowest)
print(threading.active_count() - 2, 'are left')
print(all(s.recv(1) == b'' for s in silent), 'are told')
for s in trickling: s.close()
while threading.active_count() > 2: time.sleep(0.01)
print('none is left')";
    let said = printed(&mut program(code)).await;
    assert_eq!(
        said,
        "good clients wait little\n500 are left\nTrue are told\nnone is left\n"
    );
    assert_eq!(open_sockets(), before);
}
