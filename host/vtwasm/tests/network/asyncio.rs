//! asyncio over the sandbox's sockets.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vtwasm::Network;

use crate::{alone, printed, program};

/// The most names that are looked up at once for one sandbox.
const AT_ONCE: usize = 4;

/// The process's threads that look names up; they stay a while for the next one.
fn look_up_threads() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.map(|thread| fs::read_to_string(thread.path().join("comm")).unwrap_or_default());
    names.filter(|name| name.starts_with("vtwasm-look-up")).count()
}

#[tokio::test]
async fn names_are_looked_up_for_asyncio_beside_its_loop_and_without_a_host_thread_each() {
    let _alone = alone().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = most.clone();
    let mut network = Network::closed();
    network.allow("*").unwrap().look_up_with(move |_| {
        highest.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        now.fetch_sub(1, Ordering::SeqCst);
        Ok(vec![IpAddr::from([192, 0, 2, 1])])
    });
    let code = "import asyncio, socket
async def tick():
    global ticks
    while True:
        await asyncio.sleep(0.001); ticks += 1
async def main():
    ticker = asyncio.create_task(tick())
    loop = asyncio.get_running_loop()
    found = await asyncio.gather(*(loop.getaddrinfo(f'n{n}.example', 80, type=socket.SOCK_STREAM) for n in range(60)))
    ticker.cancel()
    print({it[0][4] for it in found}, len(found), ticks > 30)
ticks = 0
asyncio.run(main())";
    let said = printed(program(code).network(network)).await;
    assert_eq!(said, "{('192.0.2.1', 80)} 60 True\n");
    assert!(most.load(Ordering::SeqCst) <= AT_ONCE, "{most:?} at once");
    let threads = look_up_threads();
    assert!(threads <= 2 * AT_ONCE, "{threads} threads");
}
