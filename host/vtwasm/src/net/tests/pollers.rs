//! Watching many sockets at once.

use super::*;

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
