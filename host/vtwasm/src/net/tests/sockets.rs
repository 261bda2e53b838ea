//! One socket after the other: bytes, waits, options.

use super::*;

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
