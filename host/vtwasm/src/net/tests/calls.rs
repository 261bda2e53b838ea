//! Any calls in any order, with any arguments; `PROPTEST_CASES=100000` in the environment goes on for
//! minutes.

use proptest::prelude::*;

use super::*;

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
