//! Through a name that means another address when it is used than when it was checked.

use super::common::program;
use super::printed;
use std::net::{IpAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use vtwasm::Network;

#[tokio::test]
async fn an_answer_that_changes_between_check_and_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = AtomicUsize::new(0);
    let mut network = Network::closed();
    network.allow("changes.example").unwrap().look_up_with(move |_| {
        let turn = asked.load(Ordering::Relaxed) / 2;
        // The answer that is checked, and the one that is used.
        Ok(match asked.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => vec!["93.184.216.34".parse::<IpAddr>().unwrap()],
            _ => vec![
                ["127.0.0.1", "::1", "::ffff:127.0.0.1"][turn % 3]
                    .parse()
                    .unwrap(),
            ],
        })
    });
    let code = format!(
        "
import socket
for family, own in [(socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1'), (socket.AF_INET6, '::ffff:127.0.0.1')] * 3:
    (*_, address), = socket.getaddrinfo('changes.example', {port}, type=socket.SOCK_STREAM)
    assert address == ('93.184.216.34', {port}), address
    for target in ('changes.example', own):
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try: s.connect((target, {port}))
            except PermissionError as error: assert '--allow-net' in str(error), error
            else: print('connected to', target)
"
    );
    assert_eq!(printed(program(&code).network(network)).await, "");
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody came");
}
