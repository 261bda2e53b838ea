//! The host calls without a guest, on loopback only.

mod calls;
mod names;
mod permissions;
mod pollers;
mod sockets;

use super::imports::{Direction, Family, Kind, Message, Readiness, SocketOption};
use super::*;
use crate::scheduler::{Reason, Wake};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn none() -> Message {
    Message::empty()
}

/// A sandbox's sockets and fibers without the sandbox; the main fiber runs.
struct World {
    net: Arc<Net>,
    fibers: Arc<Fibers>,
}

fn world(network: Network, limit: u32) -> World {
    let fibers = Fibers::new(100);
    let net = Net::new(network, limit, fibers.clone(), Arc::default());
    net.start().unwrap();
    World { net, fibers }
}

fn loopback() -> World {
    let mut network = Network::closed();
    network.allow("localhost").unwrap().listen("localhost").unwrap();
    world(network, 10_000)
}

impl World {
    /// The main fiber parks until somebody wakes it or the time is over.
    async fn park(&self, limit: Duration) -> Wake {
        let deadline = self.fibers.now() + limit.as_nanos() as u64;
        let mut park = pin!(
            self.fibers
                .park(Reason::Io, 0, Some(deadline), std::iter::empty())
        );
        let mut timer = pin!(tokio::time::sleep(limit + Duration::from_millis(2)));
        poll_fn(|context| {
            self.fibers.register_driver(context.waker());
            let _ = timer.as_mut().poll(context);
            self.net.turn();
            self.fibers.advance();
            park.as_mut().poll(context)
        })
        .await
    }

    /// Waits as the guest does.
    async fn wait(&self, handle: u32, interest: Readiness) {
        while !self.net.subscribe(handle, interest) {
            let woken = self.park(Duration::from_secs(20)).await;
            assert_eq!(woken, Wake::Ready, "nothing came for {interest:?}");
        }
    }

    async fn receive(&self, handle: u32, length: u32) -> Result<Vec<u8>, Errno> {
        loop {
            match self.net.receive(handle, length, none()) {
                Err(errno::AGAIN) => self.wait(handle, Readiness::READABLE).await,
                result => return result.map(|(bytes, ..)| bytes),
            }
        }
    }

    async fn accept(&self, listener: u32) -> (u32, SocketAddr) {
        loop {
            match self.net.accept(listener) {
                Err(errno::AGAIN) => self.wait(listener, Readiness::READABLE).await,
                result => return result.unwrap(),
            }
        }
    }

    fn listener(&self) -> (u32, SocketAddr) {
        let listener = self.net.open(Family::Inet, Kind::Stream).unwrap();
        self.net.bind(listener, ANY_PORT).unwrap();
        self.net.listen(listener, 1000).unwrap();
        (listener, self.net.local_address(listener).unwrap())
    }

    async fn connected(&self, to: SocketAddr) -> u32 {
        let client = self.net.open(Family::Inet, Kind::Stream).unwrap();
        if let Err(errno) = self.net.connect(client, to) {
            assert_eq!(errno, errno::INPROGRESS);
            self.wait(client, Readiness::WRITABLE).await;
            assert_eq!(self.net.get_option(client, SocketOption::Error), Ok(0));
        }
        client
    }

    /// Two ends of a connection.
    async fn pair(&self) -> (u32, u32) {
        let (listener, address) = self.listener();
        let client = self.connected(address).await;
        let (server, _) = self.accept(listener).await;
        self.net.close(listener).unwrap();
        (client, server)
    }

    fn datagram(&self) -> (u32, SocketAddr) {
        let socket = self.net.open(Family::Inet, Kind::Datagram).unwrap();
        self.net.bind(socket, ANY_PORT).unwrap();
        (socket, self.net.local_address(socket).unwrap())
    }

    fn is_clean(&self) -> bool {
        let inner = self.net.lock();
        inner.table.len() == 0 && inner.watches == 0
    }

    /// What /proc/self/fd calls the open sockets.
    fn inodes(&self) -> Vec<String> {
        use std::os::fd::AsRawFd;
        let mut inner = self.net.lock();
        let handles: Vec<u32> = inner.table.handles();
        let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
        let fds: Vec<i32> = handles
            .into_iter()
            .filter_map(|handle| Some(inner.table.socket(handle)?.fd.as_raw_fd()))
            .collect();
        fds.into_iter().map(|fd| link(fd).display().to_string()).collect()
    }
}

/// Which of these sockets are open in this process.
fn still_open(inodes: &[String]) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let open: std::collections::HashSet<_> = links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .map(|link| link.display().to_string())
        .collect();
    inodes.iter().filter(|inode| open.contains(*inode)).count()
}

#[tokio::test]
async fn the_end_of_a_sandbox_leaves_no_descriptor_and_no_task() {
    for end in [|world: &World| world.net.close_all(), |_: &World| ()] {
        let world = loopback();
        let (listener, address) = world.listener();
        let poller = world.net.poller().unwrap();
        for _ in 0..500 {
            let client = world.connected(address).await;
            let (server, _) = world.accept(listener).await;
            world
                .net
                .watch(poller, server, Readiness::READABLE, false)
                .unwrap();
            world.net.subscribe(client, Readiness::READABLE);
        }
        let inodes = world.inodes();
        assert_eq!((inodes.len(), still_open(&inodes)), (1001, 1001));
        end(&world);
        drop(world);
        assert_eq!(still_open(&inodes), 0);
    }
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

// ---- any calls in any order ----
