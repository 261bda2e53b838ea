//! Names: what they are looked up to, how long that may take, and what it opens.

use super::*;

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
