//! The host calls without a guest, on loopback only.

use super::imports::{Direction, Family, Kind, Message, Readiness, SocketOption};
use super::*;
use crate::scheduler::{Reason, Wake};
use proptest::prelude::*;
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
        let mut park = pin!(self.fibers.park(Reason::Io, Some(deadline), std::iter::empty()));
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
async fn bytes_go_both_ways_and_the_end_is_seen() {
    let world = loopback();
    let (client, server) = world.pair().await;
    assert_eq!(world.net.receive(server, 100, none()).unwrap_err(), errno::AGAIN);
    assert_eq!(world.net.send(client, b"hello", none()), Ok(5));
    assert_eq!(world.receive(server, 2).await.unwrap(), b"he");
    assert_eq!(world.receive(server, 100).await.unwrap(), b"llo");
    world.net.shutdown(client, Direction::Write).unwrap();
    assert_eq!(world.receive(server, 100).await.unwrap(), b"");
    assert_eq!(world.net.send(server, b"bye", none()), Ok(3));
    assert_eq!(world.receive(client, 100).await.unwrap(), b"bye");
    let usage = world.net.usage();
    assert_eq!((usage.sent, usage.received, usage.peak_sockets), (8, 8, 3));
    assert_eq!(world.net.remote_address(client), world.net.local_address(server));
}

#[tokio::test]
async fn a_fiber_that_waits_is_woken_by_what_comes_and_by_nothing_else() {
    let world = loopback();
    let (client, server) = world.pair().await;
    assert!(!world.net.subscribe(server, Readiness::READABLE));
    assert_eq!(world.park(Duration::from_millis(50)).await, Wake::TimedOut);
    assert!(!world.net.subscribe(server, Readiness::READABLE));
    world.net.send(client, b"x", none()).unwrap();
    assert_eq!(world.park(Duration::from_secs(20)).await, Wake::Ready);
    // The subscription was for one park.
    world.net.send(client, b"y", none()).unwrap();
    assert_eq!(world.park(Duration::from_millis(50)).await, Wake::TimedOut);
    assert!(world.net.subscribe(server, Readiness::READABLE), "it is readable");
}

#[tokio::test]
async fn a_full_send_buffer_is_eagain_until_the_reader_reads() {
    let world = loopback();
    let (client, server) = world.pair().await;
    let chunk = [7; 65536];
    let mut sent = 0;
    let errno = loop {
        match world.net.send(client, &chunk, none()) {
            Ok(taken) => sent += u64::from(taken),
            Err(errno) => break errno,
        }
    };
    assert_eq!(errno, errno::AGAIN);
    assert!(!world.net.subscribe(client, Readiness::WRITABLE));
    while world.net.usage().received < sent {
        assert!(!world.receive(server, u32::MAX).await.unwrap().is_empty());
    }
    world.wait(client, Readiness::WRITABLE).await;
    assert!(world.net.send(client, &chunk, none()).is_ok());
}

#[tokio::test]
async fn closing_wakes_who_waits() {
    let world = loopback();
    let (_client, server) = world.pair().await;
    assert!(!world.net.subscribe(server, Readiness::READABLE));
    world.net.close(server).unwrap();
    assert_eq!(world.park(Duration::from_secs(20)).await, Wake::Ready);
    assert_eq!(world.net.close(server), Err(errno::BADF));
    assert!(
        world.net.subscribe(server, Readiness::READABLE),
        "there is nothing to wait for"
    );
}

#[tokio::test]
async fn a_refused_connection_ends_the_wait_with_its_reason() {
    let world = loopback();
    let (listener, address) = world.listener();
    world.net.close(listener).unwrap();
    let client = world.net.open(Family::Inet, Kind::Stream).unwrap();
    let refused = errno::of_raw(libc::ECONNREFUSED);
    match world.net.connect(client, address) {
        Err(errno::INPROGRESS) => {
            world.wait(client, Readiness::WRITABLE).await;
            assert_eq!(
                world.net.get_option(client, SocketOption::Error),
                Ok(refused.into())
            );
        }
        result => assert_eq!(result, Err(refused)),
    }
}

#[tokio::test]
async fn polling_many_sockets_in_turn_leaves_no_subscriptions_behind() {
    let world = loopback();
    let sockets: Vec<u32> = (0..2000).map(|_| world.datagram().0).collect();
    for &socket in &sockets {
        assert!(!world.net.subscribe(socket, Readiness::READABLE));
        world.park(Duration::ZERO).await;
        assert!(world.net.lock().subscriptions() <= 1);
    }
    // All at once, as poll(2) does, again and again.
    for _ in 0..3 {
        for &socket in &sockets {
            assert!(!world.net.subscribe(socket, Readiness::READABLE));
        }
        assert_eq!(world.net.lock().subscriptions(), 2000);
        world.park(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn too_many_subscriptions_still_wake_their_fiber() {
    let world = loopback();
    let (idle, _) = world.datagram();
    let (socket, address) = world.datagram();
    for _ in 0..waiting::SUBSCRIPTIONS {
        assert!(!world.net.subscribe(idle, Readiness::READABLE));
    }
    assert!(!world.net.subscribe(socket, Readiness::READABLE));
    assert_eq!(world.net.lock().subscriptions(), waiting::SUBSCRIPTIONS);
    world.net.send_to(idle, b"x", none(), address).unwrap();
    assert_eq!(world.park(Duration::from_secs(20)).await, Wake::Ready);
}

#[tokio::test]
async fn the_limit_of_sockets_is_emfile_and_closing_makes_room() {
    let mut network = Network::closed();
    network.allow("localhost").unwrap().listen("localhost").unwrap();
    let world = world(network, 3);
    let (listener, address) = world.listener();
    let client = world.connected(address).await;
    world.net.poller().unwrap();
    assert_eq!(world.net.open(Family::Inet, Kind::Stream), Err(errno::MFILE));
    assert_eq!(world.net.accept(listener), Err(errno::MFILE));
    assert_eq!(world.net.look_up("localhost"), Err(errno::MFILE));
    assert_eq!(world.net.poller(), Err(errno::MFILE));
    world.net.close(client).unwrap();
    assert!(world.net.accept(listener).is_ok());
}

#[tokio::test]
async fn a_closed_network_lets_nothing_in_or_out_and_says_so() {
    let world = world(Network::closed(), 100);
    let stream = world.net.open(Family::Inet, Kind::Stream).unwrap();
    let datagram = world.net.open(Family::Inet, Kind::Datagram).unwrap();
    let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let refused = Err(errno::NOTCAPABLE);
    assert_eq!(world.net.connect(stream, to), refused);
    let said = "connecting to 127.0.0.1:9 is not allowed; --allow-net=127.0.0.1:9 would allow it";
    assert_eq!(world.net.refusal(), said);
    assert_eq!(world.net.refusal(), "");
    assert_eq!(world.net.connect(datagram, to), refused);
    assert_eq!(
        world.net.send_to(datagram, b"x", none(), to),
        Err(errno::NOTCAPABLE)
    );
    assert_eq!(world.net.bind(datagram, ANY_PORT), refused);
    assert_eq!(world.net.listen(stream, 1), refused);
    assert_eq!(
        world.net.refusal(),
        "listening on 0.0.0.0:0 is not allowed; --listen=0.0.0.0:0 would allow it"
    );
    assert_eq!(world.net.bind(stream, "127.0.0.1:8080".parse().unwrap()), refused);
    assert_eq!(world.net.look_up("localhost"), Err(errno::NOTCAPABLE));
    assert_eq!(world.net.look_up_address(to.ip()), Err(errno::NOTCAPABLE));
    // Nothing can come, so that waiting for it is a deadlock.
    assert!(!world.net.subscribe(datagram, Readiness::READABLE));
    let _parked = world.fibers.park(Reason::Io, None, std::iter::empty());
    assert!(matches!(
        world.fibers.idle_until(),
        crate::fibers::Idle::Deadlocked
    ));
}

#[tokio::test]
async fn what_is_connected_to_is_what_was_decided_on() {
    let mut network = Network::closed();
    network.allow("127.0.0.1").unwrap().listen("localhost").unwrap();
    let world = world(network, 100);
    let (listener, address) = world.listener();
    for text in ["0.0.0.0", "::ffff:0.0.0.0", "::ffff:127.0.0.1"] {
        let ip: IpAddr = text.parse().unwrap();
        let family = if ip.is_ipv4() { Family::Inet } else { Family::Inet6 };
        let Ok(client) = world.net.open(family, Kind::Stream) else {
            continue; // A machine without IPv6.
        };
        let connected = world.net.connect(client, SocketAddr::new(ip, address.port()));
        assert!(
            matches!(connected, Ok(()) | Err(errno::INPROGRESS)),
            "{text}: {connected:?}"
        );
        world.accept(listener).await;
        let peer = world.net.remote_address(client).unwrap().ip().to_canonical();
        assert_eq!(peer, Ipv4Addr::LOCALHOST, "{text}");
    }
    let client = world.net.open(Family::Inet, Kind::Stream).unwrap();
    let other = SocketAddr::new([127, 0, 0, 2].into(), address.port());
    assert_eq!(world.net.connect(client, other), Err(errno::NOTCAPABLE));
}

#[tokio::test]
async fn a_clients_own_port_is_free_and_listening_on_it_is_not() {
    let mut network = Network::closed();
    network.allow("localhost").unwrap();
    let world = world(network, 100);
    let any = "0.0.0.0:0".parse().unwrap();
    let datagram = world.net.open(Family::Inet, Kind::Datagram).unwrap();
    world.net.bind(datagram, any).unwrap();
    let stream = world.net.open(Family::Inet, Kind::Stream).unwrap();
    world.net.bind(stream, any).unwrap();
    assert_eq!(world.net.listen(stream, 1), Err(errno::NOTCAPABLE));
}

#[tokio::test]
async fn truncating_a_stream_shows_nothing_of_the_hosts_memory() {
    let world = loopback();
    let (client, server) = world.pair().await;
    world.net.send(client, b"hello", none()).unwrap();
    world.wait(server, Readiness::READABLE).await;
    let received = world.net.receive(server, 100, Message::TRUNCATE).unwrap();
    assert_eq!(received.0, b"hello");
    let (a, address) = world.datagram();
    world.net.send_to(a, &[1; 500], none(), address).unwrap();
    world.wait(a, Readiness::READABLE).await;
    let (bytes, whole, from) = world
        .net
        .receive(a, 10, Message::TRUNCATE | Message::PEEK)
        .unwrap();
    assert_eq!((bytes.len(), whole, from), (10, 500, address));
    let (bytes, whole, _) = world.net.receive(a, 10, none()).unwrap();
    assert_eq!((bytes.len(), whole), (10, 10));
}

#[tokio::test]
async fn no_close_waits_for_a_peer_that_does_not_read() {
    let world = loopback();
    let (client, _server) = world.pair().await;
    world.net.set_option(client, SocketOption::Linger, 1000).unwrap();
    assert_eq!(world.net.get_option(client, SocketOption::Linger), Ok(1000));
    while world.net.send(client, &[0; 65536], none()).is_ok() {}
    let started = Instant::now();
    world.net.close(client).unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    let (client, server) = world.pair().await;
    world.net.set_option(client, SocketOption::Linger, 0).unwrap();
    world.net.close(client).unwrap();
    assert_eq!(
        world.receive(server, 1).await,
        Err(errno::of_raw(libc::ECONNRESET))
    );
}

#[tokio::test]
async fn options_are_the_kernels() {
    use SocketOption as O;
    let world = loopback();
    let stream = world.net.open(Family::Inet, Kind::Stream).unwrap();
    for (option, value) in [
        (O::ReuseAddress, 1),
        (O::ReusePort, 1),
        (O::KeepAlive, 1),
        (O::KeepIdle, 7),
        (O::KeepInterval, 8),
        (O::KeepCount, 3),
        (O::NoDelay, 1),
        (O::Cork, 1),
        (O::UserTimeout, 1234),
        (O::ReceiveLow, 2),
        (O::TypeOfService, 16),
        (O::TimeToLive, 9),
        (O::OutOfBandInline, 1),
        (O::Linger, -1),
        (O::Broadcast, 1),
    ] {
        world
            .net
            .set_option(stream, option, value)
            .unwrap_or_else(|errno| panic!("{option:?}: {errno}"));
        assert_eq!(world.net.get_option(stream, option), Ok(value), "{option:?}");
    }
    world
        .net
        .set_option(stream, O::SendBuffer, i64::from(i32::MAX))
        .unwrap();
    assert!(world.net.get_option(stream, O::SendBuffer).unwrap() <= 2 * (4 << 20));
    assert_eq!(
        world.net.set_option(stream, O::NoDelay, i64::MAX),
        Err(errno::INVAL)
    );
    assert_eq!(world.net.set_option(stream, O::Error, 1), Err(errno::NOPROTOOPT));
    let datagram = world.net.open(Family::Inet, Kind::Datagram).unwrap();
    assert!(world.net.set_option(datagram, O::NoDelay, 1).is_err());
}

// ---- pollers ----

#[tokio::test]
async fn a_poller_tells_once_of_what_is_ready_and_watches_the_rest() {
    let world = loopback();
    let (a, to_a) = world.datagram();
    let (b, _) = world.datagram();
    let poller = world.net.poller().unwrap();
    for socket in [a, b] {
        world
            .net
            .watch(poller, socket, Readiness::READABLE, false)
            .unwrap();
    }
    assert_eq!(world.net.events(poller, 10), []);
    assert!(!world.net.subscribe(poller, Readiness::READABLE));
    world.net.send_to(b, b"x", none(), to_a).unwrap();
    assert_eq!(world.park(Duration::from_secs(20)).await, Wake::Ready);
    assert_eq!(world.net.events(poller, 10), [(a, Readiness::READABLE)]);
    assert_eq!(world.net.events(poller, 10), []);
    // A new watch is told of at once.
    world.net.watch(poller, a, Readiness::READABLE, false).unwrap();
    assert_eq!(world.net.ready(poller), Readiness::READABLE);
    assert_eq!(world.net.events(poller, 10), [(a, Readiness::READABLE)]);
}

#[tokio::test]
async fn an_edge_is_told_once_and_so_is_the_next() {
    let world = loopback();
    let (a, to_a) = world.datagram();
    let both = Readiness::READABLE | Readiness::WRITABLE;
    let poller = world.net.poller().unwrap();
    world.net.watch(poller, a, both, true).unwrap();
    assert_eq!(world.net.events(poller, 10), [(a, Readiness::WRITABLE)]);
    assert_eq!(world.park(Duration::from_millis(20)).await, Wake::TimedOut);
    assert_eq!(world.net.events(poller, 10), []);
    for _ in 0..2 {
        world.net.send_to(a, b"x", none(), to_a).unwrap();
        assert_eq!(world.net.events(poller, 10), [(a, both)]);
        assert_eq!(world.net.events(poller, 10), []);
    }
}

#[tokio::test]
async fn a_poller_knows_at_once_of_what_the_guest_has_just_done() {
    let world = loopback();
    let (listener, address) = world.listener();
    let poller = world.net.poller().unwrap();
    world
        .net
        .watch(poller, listener, Readiness::READABLE, false)
        .unwrap();
    assert_eq!(world.net.events(poller, 10), []);
    let client = world.net.open(Family::Inet, Kind::Stream).unwrap();
    let _ = world.net.connect(client, address);
    assert_eq!(world.net.events(poller, 10), [(listener, Readiness::READABLE)]);
}

#[tokio::test]
async fn a_poller_does_not_tell_of_what_somebody_else_has_taken() {
    let world = loopback();
    let (a, to_a) = world.datagram();
    let poller = world.net.poller().unwrap();
    world.net.watch(poller, a, Readiness::READABLE, false).unwrap();
    world.net.send_to(a, b"x", none(), to_a).unwrap();
    world.wait(poller, Readiness::READABLE).await;
    assert_eq!(world.receive(a, 10).await.unwrap(), b"x");
    assert_eq!(world.net.events(poller, 10), []);
    // It goes on being watched.
    world.net.send_to(a, b"y", none(), to_a).unwrap();
    world.wait(poller, Readiness::READABLE).await;
    assert_eq!(world.net.events(poller, 10), [(a, Readiness::READABLE)]);
}

#[tokio::test]
async fn a_flood_is_told_of_in_turns() {
    let world = loopback();
    let poller = world.net.poller().unwrap();
    let sockets: Vec<_> = (0..1000).map(|_| world.datagram()).collect();
    for (socket, _) in &sockets {
        world
            .net
            .watch(poller, *socket, Readiness::READABLE, false)
            .unwrap();
    }
    for (_, address) in &sockets {
        world.net.send_to(sockets[0].0, b"x", none(), *address).unwrap();
    }
    let mut told = std::collections::HashSet::new();
    while told.len() < 1000 {
        world.wait(poller, Readiness::READABLE).await;
        let events = world.net.events(poller, 100);
        assert!(events.len() <= 100);
        for (handle, _) in events {
            assert!(told.insert(handle), "{handle} was told of twice");
        }
    }
}

#[tokio::test]
async fn opening_and_closing_leaves_nothing_of_a_watch() {
    let world = loopback();
    let (kept, _) = world.datagram();
    let keeper = world.net.poller().unwrap();
    for _ in 0..100 {
        let poller = world.net.poller().unwrap();
        world.net.watch(poller, kept, Readiness::WRITABLE, false).unwrap();
        world.net.close(poller).unwrap();
        let socket = world.net.open(Family::Inet, Kind::Datagram).unwrap();
        world
            .net
            .watch(keeper, socket, Readiness::WRITABLE, false)
            .unwrap();
        world.net.close(socket).unwrap();
        world.net.watch(keeper, kept, Readiness::WRITABLE, false).unwrap();
        world.net.watch(keeper, kept, Readiness::empty(), false).unwrap();
    }
    assert_eq!(world.net.events(keeper, 10), []);
    assert_eq!(world.net.lock().watches, 0);
    assert_eq!(
        world.net.watch(kept, keeper, Readiness::READABLE, false),
        Err(errno::BADF)
    );
}

// ---- look-ups ----

/// A network on which these names are known.
fn with_names(answer: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> World {
    let mut network = Network::closed();
    network
        .allow("*")
        .unwrap()
        .allow("example.org:80")
        .unwrap()
        .look_up_with(answer);
    world(network, 100)
}

async fn addresses(world: &World, name: &str) -> Result<Vec<IpAddr>, Errno> {
    let look_up = world.net.look_up(name)?;
    loop {
        match world.net.addresses(look_up) {
            Err(errno::AGAIN) => world.wait(look_up, Readiness::READABLE).await,
            result => {
                world.net.close(look_up).unwrap();
                return result;
            }
        }
    }
}

#[tokio::test]
async fn names_are_looked_up_and_failures_told_apart() {
    let world = with_names(|name| match name {
        "known.example" => Ok(vec![[1, 2, 3, 4].into()]),
        "empty.example" => Ok(vec![]),
        "odd.example" => panic!("an embedder's mistake"),
        "unknown.example" => Err(io::ErrorKind::NotFound.into()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    });
    assert_eq!(
        addresses(&world, "Known.example.").await,
        Ok(vec![[1, 2, 3, 4].into()])
    );
    assert_eq!(addresses(&world, "unknown.example").await, Err(errno::NOENT));
    assert_eq!(addresses(&world, "empty.example").await, Err(errno::NOENT));
    assert_eq!(addresses(&world, "late.example").await, Err(errno::IO));
    assert_eq!(addresses(&world, "odd.example").await, Err(errno::IO));
    for rubbish in ["", ".", "a b", "10.0.0.1", "x\0y", "é", &"a".repeat(300)] {
        assert_eq!(addresses(&world, rubbish).await, Err(errno::NOENT), "{rubbish:?}");
    }
    assert!(world.is_clean());
}

#[tokio::test]
async fn a_name_that_suddenly_answers_a_private_address_does_not_open_it() {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let world = with_names(move |_| {
        let private = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 0;
        Ok(vec![if private {
            [127, 0, 0, 1].into()
        } else {
            [1, 2, 3, 4].into()
        }])
    });
    addresses(&world, "example.org").await.unwrap();
    let found = addresses(&world, "example.org").await.unwrap();
    assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
    let socket = world.net.open(Family::Inet, Kind::Stream).unwrap();
    assert_eq!(
        world.net.connect(socket, SocketAddr::new(found[0], 80)),
        Err(errno::NOTCAPABLE)
    );
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let world = loopback();
    let found = addresses(&world, "localhost").await.unwrap();
    assert!(
        !found.is_empty() && found.iter().all(IpAddr::is_loopback),
        "{found:?}"
    );
    let look_up = world.net.look_up_address([127, 0, 0, 1].into()).unwrap();
    world.wait(look_up, Readiness::READABLE).await;
    assert!(matches!(world.net.name(look_up), Ok(_) | Err(errno::NOENT)));
    assert_eq!(world.net.addresses(look_up), Err(errno::INVAL));
}

#[tokio::test]
async fn slow_look_ups_wait_for_each_other_and_for_nobody_else() {
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let world = with_names(move |_| {
        let _ = gate.lock().unwrap().recv_timeout(Duration::from_secs(20));
        Ok(vec![[1, 2, 3, 4].into()])
    });
    let all: Vec<u32> = (0..50)
        .map(|n| world.net.look_up(&format!("n{n}.example")).unwrap())
        .collect();
    assert!(!world.net.subscribe(all[49], Readiness::READABLE));
    assert_eq!(world.park(Duration::from_millis(20)).await, Wake::TimedOut);
    for &closed in &all[10..40] {
        world.net.close(closed).unwrap();
    }
    for _ in 0..50 {
        open.send(()).unwrap();
    }
    for &look_up in all[..10].iter().chain(&all[40..]) {
        world.wait(look_up, Readiness::READABLE).await;
        assert!(world.net.addresses(look_up).is_ok());
    }
}

#[tokio::test]
async fn a_sandbox_that_ends_leaves_its_look_ups_to_end_by_themselves() {
    let (open, gate) = mpsc::channel::<()>();
    let (told, begun) = mpsc::channel();
    let gate = Mutex::new(gate);
    let world = with_names(move |_| {
        told.send(()).unwrap();
        gate.lock().unwrap().recv().map_err(io::Error::other)?;
        Ok(vec![])
    });
    for n in 0..20 {
        world.net.look_up(&format!("n{n}.example")).unwrap();
    }
    begun.recv_timeout(Duration::from_secs(20)).unwrap();
    let net = Arc::downgrade(&world.net);
    drop(world);
    assert_eq!(net.strong_count(), 0);
    // At most those that had begun go on; the rest is not begun any more.
    drop(open);
    while begun.recv_timeout(Duration::from_secs(20)).is_ok() {}
}

// ---- the end ----

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

#[derive(Clone, Debug)]
enum Call {
    Open(bool, bool),
    Bind(u8, u8),
    Listen(u8, u32),
    Accept(u8),
    Connect(u8, u8, u8),
    Disconnect(u8),
    Shutdown(u8, u8),
    Addresses(u8),
    Get(u8, u8),
    Set(u8, u8, i64),
    Available(u8),
    Receive(u8, u32, u8),
    Send(u8, u16, u8),
    SendTo(u8, u16, u8, u8, u8),
    Close(u8),
    LookUp(String),
    LookUpAddress(u8),
    Answer(u8),
    Ready(u8),
    Subscribe(u8, u8),
    Poller,
    Watch(u8, u8, u8, bool),
    Events(u8, u32),
    Park,
}

fn call() -> impl Strategy<Value = Call> {
    let h = 0..16_u8;
    prop_oneof![
        4 => (any::<bool>(), any::<bool>()).prop_map(|(a, b)| Call::Open(a, b)),
        3 => (h.clone(), any::<u8>()).prop_map(|(a, b)| Call::Bind(a, b)),
        3 => (h.clone(), any::<u32>()).prop_map(|(a, b)| Call::Listen(a, b)),
        3 => h.clone().prop_map(Call::Accept),
        4 => (h.clone(), h.clone(), any::<u8>()).prop_map(|(a, b, c)| Call::Connect(a, b, c)),
        1 => h.clone().prop_map(Call::Disconnect),
        1 => (h.clone(), any::<u8>()).prop_map(|(a, b)| Call::Shutdown(a, b)),
        1 => h.clone().prop_map(Call::Addresses),
        2 => (h.clone(), any::<u8>()).prop_map(|(a, b)| Call::Get(a, b)),
        2 => (h.clone(), any::<u8>(), prop_oneof![any::<i64>(), -2..10_i64]).prop_map(|(a, b, c)| Call::Set(a, b, c)),
        1 => h.clone().prop_map(Call::Available),
        4 => (h.clone(), any::<u32>(), any::<u8>()).prop_map(|(a, b, c)| Call::Receive(a, b, c)),
        4 => (h.clone(), any::<u16>(), any::<u8>()).prop_map(|(a, b, c)| Call::Send(a, b, c)),
        3 => (h.clone(), any::<u16>(), any::<u8>(), h.clone(), any::<u8>()).prop_map(|(a, b, c, d, e)| Call::SendTo(a, b, c, d, e)),
        3 => h.clone().prop_map(Call::Close),
        1 => ".{0,8}".prop_map(Call::LookUp),
        1 => Just(Call::LookUp("localhost".into())),
        1 => any::<u8>().prop_map(Call::LookUpAddress),
        1 => h.clone().prop_map(Call::Answer),
        2 => h.clone().prop_map(Call::Ready),
        4 => (h.clone(), any::<u8>()).prop_map(|(a, b)| Call::Subscribe(a, b)),
        2 => Just(Call::Poller),
        4 => (h.clone(), h.clone(), any::<u8>(), any::<bool>()).prop_map(|(a, b, c, d)| Call::Watch(a, b, c, d)),
        3 => (h, any::<u32>()).prop_map(|(a, b)| Call::Events(a, b)),
        3 => Just(Call::Park),
    ]
}

const OPTIONS: [SocketOption; 25] = {
    use SocketOption as O;
    [
        O::Error,
        O::ReuseAddress,
        O::ReusePort,
        O::Broadcast,
        O::KeepAlive,
        O::KeepIdle,
        O::KeepInterval,
        O::KeepCount,
        O::NoDelay,
        O::Cork,
        O::QuickAck,
        O::UserTimeout,
        O::DeferAccept,
        O::MaxSegment,
        O::Linger,
        O::ReceiveBuffer,
        O::SendBuffer,
        O::ReceiveLow,
        O::V6Only,
        O::TypeOfService,
        O::TimeToLive,
        O::HopLimit,
        O::MulticastLoop,
        O::MulticastTimeToLive,
        O::OutOfBandInline,
    ]
};

/// Addresses of loopback, some of them in odd clothes, and some that are refused.
fn odd_address(net: &Net, of: u32, which: u8) -> SocketAddr {
    let port = net.local_address(of).map_or(1, |address| address.port());
    let ip = [
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ];
    SocketAddr::new(ip[which as usize % ip.len()].parse().unwrap(), port)
}

fn bits(bits: u8) -> Readiness {
    let all = [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::ERROR,
        Readiness::HANGUP,
        Readiness::READ_HANGUP,
        Readiness::URGENT,
    ];
    let set = all.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
    set.fold(Readiness::empty(), |sum, (_, one)| sum | one)
}

fn message(bits: u8) -> Message {
    let all = [Message::PEEK, Message::OUT_OF_BAND, Message::TRUNCATE];
    let set = all.into_iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
    set.fold(Message::empty(), |sum, (_, one)| sum | one)
}

/// Makes one call; `handles` are all that were ever given, the latest first.
async fn make(world: &World, handles: &mut Vec<u32>, call: Call) {
    let net = &world.net;
    let at = |index: u8| {
        handles
            .get(handles.len().wrapping_sub(1 + index as usize))
            .copied()
            .unwrap_or(index.into())
    };
    let bytes = |length: u16| vec![b'x'; length.into()];
    let made = match call {
        Call::Open(six, stream) => net
            .open(
                if six { Family::Inet6 } else { Family::Inet },
                if stream { Kind::Stream } else { Kind::Datagram },
            )
            .ok(),
        Call::Bind(a, which) => {
            let mut local = odd_address(net, 0, which);
            local.set_port(0);
            net.bind(at(a), local).err().map(|_| 0)
        }
        Call::Listen(a, backlog) => net.listen(at(a), backlog).err().map(|_| 0),
        Call::Accept(a) => net.accept(at(a)).ok().map(|(handle, _)| handle),
        Call::Connect(a, b, which) => net
            .connect(at(a), odd_address(net, at(b), which))
            .err()
            .map(|_| 0),
        Call::Disconnect(a) => net.disconnect(at(a)).err().map(|_| 0),
        Call::Shutdown(a, which) => {
            let which = [Direction::Read, Direction::Write, Direction::Both][which as usize % 3];
            net.shutdown(at(a), which).err().map(|_| 0)
        }
        Call::Addresses(a) => net
            .local_address(at(a))
            .and(net.remote_address(at(a)))
            .err()
            .map(|_| 0),
        Call::Get(a, which) => net
            .get_option(at(a), OPTIONS[which as usize % OPTIONS.len()])
            .err()
            .map(|_| 0),
        Call::Set(a, which, value) => net
            .set_option(at(a), OPTIONS[which as usize % OPTIONS.len()], value)
            .err()
            .map(|_| 0),
        Call::Available(a) => net.available(at(a)).err().map(|_| 0),
        Call::Receive(a, length, how) => {
            if let Ok((bytes, ..)) = net.receive(at(a), length, message(how)) {
                assert!(bytes.len() <= length.min(256 << 10) as usize);
            }
            None
        }
        Call::Send(a, length, how) => net.send(at(a), &bytes(length), message(how)).err().map(|_| 0),
        Call::SendTo(a, length, how, b, which) => {
            let to = odd_address(net, at(b), which);
            net.send_to(at(a), &bytes(length), message(how), to)
                .err()
                .map(|_| 0)
        }
        Call::Close(a) => net.close(at(a)).err().map(|_| 0),
        Call::LookUp(name) => net.look_up(&name).ok(),
        Call::LookUpAddress(n) => net.look_up_address([127, 0, 0, n].into()).ok(),
        Call::Answer(a) => net
            .addresses(at(a))
            .map(|_| ())
            .and(net.name(at(a)).map(|_| ()))
            .err()
            .map(|_| 0),
        Call::Ready(a) => (net.ready(at(a)) == Readiness::empty()).then_some(0),
        Call::Subscribe(a, interest) => net.subscribe(at(a), bits(interest)).then_some(0),
        Call::Poller => net.poller().ok(),
        Call::Watch(a, b, interest, edge) => net.watch(at(a), at(b), bits(interest), edge).err().map(|_| 0),
        Call::Events(a, max) => {
            let events = net.events(at(a), max);
            assert!(events.len() <= max.min(1024) as usize);
            None
        }
        Call::Park => {
            world.park(Duration::ZERO).await;
            None
        }
    };
    handles.extend(made.filter(|&handle| handle != 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_calls_in_any_order_neither_panic_nor_leak_nor_hang(calls in proptest::collection::vec(call(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut network = Network::closed();
            network.allow("localhost").unwrap().listen("*").unwrap();
            let world = world(network, 40);
            let mut handles = Vec::new();
            for call in calls {
                let made = make(&world, &mut handles, call);
                tokio::time::timeout(Duration::from_secs(20), made).await.expect("no call waits");
            }
            let inodes = world.inodes();
            for &handle in &handles {
                let _ = world.net.close(handle);
            }
            prop_assert!(world.is_clean());
            prop_assert_eq!(still_open(&inodes), 0);
            Ok(())
        })?;
    }
}
