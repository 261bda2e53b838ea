//! Sockets from Python, their permissions and what can go wrong with them. On loopback only; needs the
//! artifact as `sandbox.rs` does.

use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, oneshot};
use vtwasm::{Artifact, Builder, Engine, Limits, Network, Outcome, Output, Python, Report, Sandbox};

static PYTHON: LazyLock<Python> = LazyLock::new(|| {
    let dir = std::env::var_os("VTWASM_PYTHON").expect("VTWASM_PYTHON is set; run `cargo xtask test`");
    Python::new(&Engine::new().unwrap(), &Artifact::open(dir).unwrap()).unwrap()
});

/// The descriptors of the process are counted: one test at a time.
static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

fn program(code: &str) -> Builder {
    let mut builder = Sandbox::builder(&PYTHON);
    builder
        .args(["python3", "-c", code])
        .network(loopback())
        .stdout(Output::Capture)
        .stderr(Output::Capture);
    builder
}

fn loopback() -> Network {
    let mut network = Network::closed();
    network.allow("localhost").unwrap().listen("localhost").unwrap();
    network
}

async fn run(builder: &mut Builder) -> Report {
    let report = tokio::time::timeout(Duration::from_secs(120), builder.build().unwrap().run());
    report.await.expect("the run ends").unwrap()
}

/// What a program printed that came to a good end.
async fn printed(builder: &mut Builder) -> String {
    let report = run(builder).await;
    let stderr = String::from_utf8_lossy(&report.stderr);
    assert_eq!(report.outcome, Outcome::Exited(0), "{stderr}");
    String::from_utf8(report.stdout).unwrap()
}

/// A stdout that tells when the program has printed its first line.
fn telling() -> (Output, oneshot::Receiver<()>) {
    let (reader, writer) = io::pipe().unwrap();
    let (told, ready) = oneshot::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(reader).lines();
        if let Some(Ok(_)) = lines.next() {
            told.send(()).unwrap();
        }
        lines.for_each(drop);
    });
    (Output::Writer(Box::new(writer)), ready)
}

/// The process's sockets, less Unix ones: each tokio runtime has one, and other tests come and go.
fn open_sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let links: Vec<_> = links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .collect();
    let unix = std::fs::read_to_string("/proc/self/net/unix").unwrap();
    let unix: HashSet<_> = unix
        .lines()
        .filter_map(|line| line.split_whitespace().nth(6))
        .collect();
    let inode = |link: &PathBuf| {
        Some(
            link.to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?
                .to_owned(),
        )
    };
    links
        .iter()
        .filter_map(inode)
        .filter(|inode| !unix.contains(inode.as_str()))
        .count()
}

#[tokio::test]
async fn a_closed_network_is_a_permission_error_that_says_what_would_open_it() {
    let _alone = alone().await;
    let code = "import socket
def attempt(call, *arguments):
    try: call(*arguments)
    except PermissionError as error: print(error)
s, d = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
attempt(s.connect, ('10.0.0.5', 5432))
attempt(d.sendto, b'x', ('127.0.0.1', 53))
attempt(s.bind, ('0.0.0.0', 8080))
attempt(s.listen)
attempt(socket.getaddrinfo, 'example.org', 443)";
    let said = printed(program(code).network(Network::closed())).await;
    for expected in [
        "connecting to 10.0.0.5:5432 is not allowed; --allow-net=10.0.0.5:5432 would allow it",
        "connecting to 127.0.0.1:53 is not allowed; --allow-net=127.0.0.1:53 would allow it",
        "listening on 0.0.0.0:8080 is not allowed; --listen=0.0.0.0:8080 would allow it",
        "looking up example.org is not allowed; --allow-net=example.org would allow it",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert_eq!(said.lines().count(), 5, "{said}");
}

#[tokio::test]
async fn bytes_and_sockets_are_counted() {
    let _alone = alone().await;
    let before = open_sockets();
    let code = "import socket
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b'x' * 1000)
print(len(peer.recv(1000, socket.MSG_WAITALL)))";
    let report = run(&mut program(code)).await;
    let usage = report.usage;
    assert_eq!(
        (usage.peak_sockets, usage.sent, usage.received),
        (3, 1000, 1000),
        "{}",
        String::from_utf8_lossy(&report.stderr)
    );
    assert_eq!(open_sockets(), before);
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
    // A full backlog: the kernel drops what comes then, as a black hole does.
    let code = "import socket, threading, time
server = socket.create_server(('127.0.0.1', 0), backlog=0)
address = server.getsockname()
full = []
for _ in range(5):
    s = socket.socket(); s.setblocking(False)
    s.connect_ex(address); full.append(s)
ticks = 0
def tick():
    global ticks
    while running:
        time.sleep(0.001); ticks += 1
running = True
ticker = threading.Thread(target=tick); ticker.start()
began = time.monotonic()
try: socket.create_connection(address, timeout=0.3)
except TimeoutError: print('timed out', 0.3 <= time.monotonic() - began < 3)
running = False; ticker.join()
print(ticks > 30)";
    assert_eq!(printed(&mut program(code)).await, "timed out True\nTrue\n");
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
    let code = "import socket, threading, time
ticks = 0
def tick():
    global ticks
    while running:
        time.sleep(0.001); ticks += 1
running = True
ticker = threading.Thread(target=tick); ticker.start()
print(socket.gethostbyname('slow.example'))
running = False; ticker.join()
print(ticks > 30)
for name in 'unknown.example', 'late.example':
    try: socket.getaddrinfo(name, 80)
    except socket.gaierror as error: print(error.errno == socket.EAI_NONAME)";
    let said = printed(program(code).network(network)).await;
    assert_eq!(said, "192.0.2.1\nTrue\nTrue\nFalse\n");
}

#[tokio::test]
async fn sockets_beyond_the_limit_are_an_os_error_and_closing_makes_room() {
    let _alone = alone().await;
    let before = open_sockets();
    let code = "import errno, socket
server = socket.create_server(('127.0.0.1', 0), backlog=4096)
clients, refused = [], 0
for _ in range(100_000):
    try:
        s = socket.socket()
    except OSError as error:
        assert error.errno == errno.EMFILE, error
        refused += 1
        continue
    s.setblocking(False)
    s.connect_ex(server.getsockname())
    clients.append(s)
print(len(clients), refused)
for s in clients: s.close()
print(socket.create_connection(server.getsockname()).fileno() > 0)";
    let mut limits = Limits::default();
    limits.sockets = 1000;
    let said = printed(program(code).limits(limits)).await;
    assert_eq!(said, "999 99001\nTrue\n");
    assert_eq!(open_sockets(), before);
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
        let (stdout, ready) = telling();
        let sandbox = program(&code).stdout(stdout).build().unwrap();
        let handle = sandbox.handle();
        let run = tokio::spawn(sandbox.run());
        ready.await.expect("it gets there");
        tokio::time::sleep(Duration::from_millis(50)).await;
        handle.interrupt();
        let report = tokio::time::timeout(Duration::from_secs(60), run)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
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
async fn waiting_for_a_pipe_of_ones_own_is_a_deadlock_and_for_a_socket_is_not() {
    let _alone = alone().await;
    let pipe = run(&mut program("import os; r, w = os.pipe(); os.read(r, 1)")).await;
    assert_eq!(pipe.outcome, Outcome::Deadlocked);
    let code = "import socket
server = socket.create_server(('127.0.0.1', 0)); server.accept()";
    let mut limits = Limits::default();
    limits.wall_time = Some(Duration::from_millis(500));
    let socket = run(program(code).limits(limits)).await;
    assert!(
        matches!(socket.outcome, Outcome::LimitHit(_)),
        "{:?}",
        socket.outcome
    );
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
