//! What a sandbox makes the host keep, by requests that are small and many: next to nothing beside its own
//! memory. One test, since it measures the process.

mod common;

use common::{program, run, text};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use vtwasm::{Access, Network, Outcome, Output};

const MIB: u64 = 1 << 20;

fn resident() -> u64 {
    let pages = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

const REQUESTS: [&str; 8] = [
    "for _ in range(300_000): os.write(1, b'x')",
    "for _ in range(20_000): os.close(os.open('/in/file', os.O_RDWR))",
    "for _ in range(3_000): os.listdir('/in'); list(os.scandir('/in'))",
    "for n in range(10_000): os.stat(f'/in/../{n}') if os.path.exists(f'/in/{n}') else None",
    "for _ in range(20_000): socket.socket().close()
for _ in range(3_000): select.epoll().close()",
    "ends = [s for _ in range(500) for s in socket.socketpair()]
poll = select.poll()
for s in ends: poll.register(s, select.POLLIN)
for _ in range(500): poll.poll(0)",
    "for _ in range(2_000):
    try: socket.getaddrinfo('localhost', 80); socket.getaddrinfo('n' * 60 + '.example', 80)
    except OSError: pass",
    "for _ in range(20):
    many = [threading.Thread(target=time.sleep, args=(0,)) for _ in range(200)]
    for t in many: t.start()
    for t in many: t.join()",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_million_small_requests_take_no_memory_of_the_host() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    for number in 0..50 {
        fs::write(folder.path().join(format!("file{number}")), "").unwrap();
    }
    let program = |requests: &str| {
        let code = format!("import os, select, socket, threading, time\n{requests}");
        let mut builder = program(&code);
        let mut network = Network::closed();
        network.allow("localhost").unwrap();
        builder
            .network(network)
            .stdout(Output::Writer(Box::new(std::io::sink())))
            .mount(folder.path(), "/in", Access::ReadWrite)
            .unwrap();
        builder
    };
    // What the process keeps for all sandboxes.
    run(&mut program("")).await;
    for requests in REQUESTS {
        let before = resident();
        let most = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let watch = {
            let (most, over) = (most.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(resident(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        };
        let report = run(&mut program(requests)).await;
        over.store(true, Ordering::Relaxed);
        watch.join().unwrap();
        assert_eq!(report.outcome, Outcome::Exited(0), "{}", text(&report.stderr));
        let beside = most
            .load(Ordering::Relaxed)
            .saturating_sub(before + report.usage.peak_memory);
        assert!(beside < 8 * MIB, "{requests}: {} MiB", beside / MIB);
    }
}
