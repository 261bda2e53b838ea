//! Sockets from Python: what they may and how they are counted; beside it, what can go wrong with them,
//! and asyncio over them. On loopback only.

mod asyncio;
#[path = "../common/mod.rs"]
mod common;
mod faults;

use common::run;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, oneshot};
use vtwasm::{Builder, Limits, Network, Outcome, Output};

/// The descriptors of the process are counted: one test at a time.
static ALONE: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

async fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().await
}

fn program(code: &str) -> Builder {
    let mut builder = common::program(code);
    builder.network(loopback());
    builder
}

fn loopback() -> Network {
    let mut network = Network::closed();
    network.allow("localhost").unwrap().listen("localhost").unwrap();
    network
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
