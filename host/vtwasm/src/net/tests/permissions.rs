//! What the network lets through, and how many sockets.

use super::*;

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
    let _parked = world.fibers.park(Reason::Io, 0, None, std::iter::empty());
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
