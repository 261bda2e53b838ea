//! What a sandbox may connect to, listen on and look up. Closed by default.

use super::ranges::{canonical, is_public};
use super::rules::{self, Host, Rule};
use crate::error::{Error, Result};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// So many answers of look-ups are remembered for each sandbox.
const ANSWERS: usize = 1024;

/// What a sandbox may connect to, listen on and look up; nothing by default.
///
/// The decision is made on the address that is connected to or sent to, never on a name that the
/// program gives. A rule with a host's name holds for the public addresses that this process itself
/// got when the program looked that name up. Addresses that are private, loopback, link-local,
/// multicast or otherwise special (in IPv6's clothes too) are open only by a rule that names them by
/// address, by block or as `localhost`; no answer of a name server opens them.
///
/// A rule by name cannot tell two hosts behind one address apart, and a public address of this machine
/// or of its neighbours is as public as any. Names are looked up only if a rule names them or public
/// addresses are open, because a look-up itself tells name servers something.
#[derive(Clone, Debug, Default)]
pub struct Network {
    connect: Vec<Rule>,
    listen: Vec<Rule>,
    resolver: Option<Resolver>,
}

type LookUp = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

#[derive(Clone)]
struct Resolver(Arc<LookUp>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Network {
    /// Nothing is permitted.
    pub fn closed() -> Network {
        Network::default()
    }

    /// Permits to connect and to send datagrams to `rule`: `example.org`, `example.org:443`,
    /// `10.1.2.3`, `10.0.0.0/8`, `10.0.0.0/8:5432`, `[::1]:80`, `localhost` (127.0.0.0/8 and ::1),
    /// `*` (every public address) or `*:443`. A port may be a range: `localhost:8000-8999`.
    ///
    /// # Errors
    /// [`Error::Rule`] if it is none of these.
    pub fn allow(&mut self, rule: &str) -> Result<&mut Network> {
        let parsed = match rules::parse(rule) {
            Ok(parsed) if *parsed.ports.start() == 0 && *parsed.ports.end() != u16::MAX => {
                Err("nothing can be reached at port 0".to_owned())
            }
            parsed => parsed,
        };
        self.connect.push(parsed.map_err(|problem| bad(rule, problem))?);
        Ok(self)
    }

    /// Permits to listen on `rule`: `localhost` (127.0.0.0/8 and ::1), `127.0.0.1:8080`, `0.0.0.0:8080`
    /// (every IPv4 address of the machine), `[::]:8080` or `*:8080` (every address),
    /// `localhost:8000-8999`. Without a port, or with port 0, the program may let the kernel choose one.
    ///
    /// # Errors
    /// [`Error::Rule`] if it is none of these, a name for example.
    pub fn listen(&mut self, rule: &str) -> Result<&mut Network> {
        let parsed = match rules::parse(rule) {
            Ok(Rule {
                host: Host::Name(_), ..
            }) => Err("expected an address of this machine, localhost or *".into()),
            parsed => parsed,
        };
        let Rule { host, ports } = parsed.map_err(|problem| bad(rule, problem))?;
        self.listen.push(Rule {
            host: host.for_listening(),
            ports,
        });
        Ok(self)
    }

    /// Looks names up by `look_up` instead of the system's resolver. It runs on a thread of its own and
    /// may wait; an error of the kind `NotFound` is an unknown name.
    pub fn look_up_with(
        &mut self,
        look_up: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> &mut Network {
        self.resolver = Some(Resolver(Arc::new(look_up)));
        self
    }

    /// Whether anything is permitted.
    pub fn is_open(&self) -> bool {
        !self.connect.is_empty() || !self.listen.is_empty()
    }

    pub(super) fn resolver(&self) -> Option<Arc<LookUp>> {
        self.resolver.as_ref().map(|resolver| resolver.0.clone())
    }

    // ---- decisions: the error is what `refusal` of the WIT tells ----

    /// Connecting or sending to an address, which must be canonical.
    pub(super) fn check_connect(&self, to: SocketAddr, answers: &Answers) -> Result<(), String> {
        let permits = |(index, rule): (usize, &Rule)| {
            let host = match &rule.host {
                Host::Any => is_public(to.ip()),
                Host::Name(_) => is_public(to.ip()) && answers.contain(index, to.ip()),
                host => host.names(to.ip()),
            };
            host && rule.ports.contains(&to.port())
        };
        if self.connect.iter().enumerate().any(permits) {
            return Ok(());
        }
        let to = without_scope(to);
        Err(format!(
            "connecting to {to} is not allowed; --allow-net={to} would allow it"
        ))
    }

    /// Binding to a port, or listening. Port 0 is the kernel's choice.
    pub(super) fn check_listen(&self, at: SocketAddr) -> Result<(), String> {
        if self
            .listen
            .iter()
            .any(|rule| rule.host.binds(at.ip()) && rule.ports.contains(&at.port()))
        {
            return Ok(());
        }
        let at = without_scope(at);
        Err(format!(
            "listening on {at} is not allowed; --listen={at} would allow it"
        ))
    }

    /// A client's own binding to port 0 opens no more than connecting does by itself.
    pub(super) fn permits_clients(&self) -> bool {
        !self.connect.is_empty()
    }

    /// Looking a normal name up.
    pub(super) fn check_name(&self, name: &str) -> Result<(), String> {
        let permits = |rule: &Rule| match &rule.host {
            Host::Any => true,
            Host::Name(known) => known == name,
            _ => false,
        };
        // It never leaves the machine.
        let local = name == "localhost" && self.is_open();
        if local || self.connect.iter().any(permits) {
            return Ok(());
        }
        Err(format!(
            "looking up {name} is not allowed; --allow-net={name} would allow it"
        ))
    }

    /// Looking up the name of an address, which must be canonical.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), String> {
        let permits = |rule: &Rule| rule.host.names(address) || rule.host == Host::Any && is_public(address);
        let local = address.is_loopback() && self.is_open();
        if local || self.connect.iter().any(permits) {
            return Ok(());
        }
        Err(format!(
            "looking up the name of {address} is not allowed; --allow-net={address} would allow it"
        ))
    }

    /// Notes what a name was answered with, and leaves only what may be told to the program.
    pub(super) fn note(&self, name: &str, found: &mut Vec<IpAddr>, answers: &mut Answers) {
        if name == "localhost" {
            found.retain(|address| canonical(*address).is_loopback());
        }
        for (index, rule) in self.connect.iter().enumerate() {
            if rule.host == Host::Name(name.to_owned()) {
                for address in found.iter() {
                    answers.add(index, canonical(*address));
                }
            }
        }
    }
}

fn without_scope(mut address: SocketAddr) -> SocketAddr {
    if let SocketAddr::V6(address) = &mut address {
        address.set_scope_id(0);
    }
    address
}

fn bad(rule: &str, problem: String) -> Error {
    Error::Rule {
        rule: rule.to_owned(),
        problem,
    }
}

/// Addresses that names of rules were answered with in one sandbox, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<(usize, IpAddr)>);

impl Answers {
    fn contain(&self, rule: usize, address: IpAddr) -> bool {
        self.0.contains(&(rule, address))
    }

    fn add(&mut self, rule: usize, address: IpAddr) {
        self.0.retain(|answer| *answer != (rule, address));
        if self.0.len() == ANSWERS {
            self.0.pop_front();
        }
        self.0.push_back((rule, address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn network(allow: &[&str], listen: &[&str]) -> Network {
        let mut network = Network::closed();
        for rule in allow {
            network.allow(rule).unwrap();
        }
        for rule in listen {
            network.listen(rule).unwrap();
        }
        network
    }

    fn connects(network: &Network, to: &str) -> bool {
        let to: SocketAddr = to.parse().unwrap();
        let to = SocketAddr::new(canonical(to.ip()), to.port());
        network.check_connect(to, &Answers::default()).is_ok()
    }

    fn listens(network: &Network, at: &str) -> bool {
        network.check_listen(at.parse().unwrap()).is_ok()
    }

    #[test]
    fn nothing_is_permitted_by_default() {
        let closed = Network::closed();
        assert!(!closed.is_open() && !connects(&closed, "1.1.1.1:80") && !listens(&closed, "127.0.0.1:0"));
        assert!(
            closed.check_name("localhost").is_err() && closed.check_address([127, 0, 0, 1].into()).is_err()
        );
    }

    #[test]
    fn everything_public_leaves_the_private_closed() {
        let public = network(&["*"], &[]);
        for to in ["1.1.1.1:80", "[2606:4700::1]:443", "[::ffff:1.1.1.1]:80"] {
            assert!(connects(&public, to), "{to}");
        }
        for to in [
            "127.0.0.1:80",
            "[::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "10.0.0.1:80",
            "[::ffff:10.0.0.1]:80",
            "169.254.169.254:80",
            "[64:ff9b::7f00:1]:80",
            "255.255.255.255:9",
            "[ff02::1]:9",
            "[fe80::1]:80",
        ] {
            assert!(!connects(&public, to), "{to}");
        }
    }

    #[test]
    fn what_is_private_opens_by_address_block_or_as_localhost() {
        let named = network(&["10.0.0.5:5432", "192.168.0.0/16", "localhost:80"], &[]);
        for to in [
            "10.0.0.5:5432",
            "[::ffff:10.0.0.5]:5432",
            "192.168.3.4:1",
            "127.0.0.9:80",
            "[::1]:80",
            "0.0.0.0:80",
        ] {
            assert!(connects(&named, to), "{to}");
        }
        for to in ["10.0.0.5:5433", "10.0.0.6:5432", "127.0.0.1:81", "1.1.1.1:80"] {
            assert!(!connects(&named, to), "{to}");
        }
        assert!(connects(&network(&["*:443"], &[]), "1.1.1.1:443"));
        assert!(!connects(&network(&["*:443"], &[]), "1.1.1.1:80"));
    }

    #[test]
    fn a_name_opens_its_own_public_answers_only() {
        let network = network(&["example.org:443"], &[]);
        let mut answers = Answers::default();
        let (public, private) = (IpAddr::from([93, 184, 215, 14]), IpAddr::from([10, 0, 0, 1]));
        let check = |answers: &Answers, address, port| {
            network
                .check_connect(SocketAddr::new(address, port), answers)
                .is_ok()
        };
        assert!(!check(&answers, public, 443));
        network.note("other.org", &mut vec![public], &mut answers);
        assert!(!check(&answers, public, 443));
        network.note("example.org", &mut vec![public, private], &mut answers);
        assert!(check(&answers, public, 443) && !check(&answers, public, 80));
        assert!(
            !check(&answers, private, 443),
            "a name server must not open private addresses"
        );
    }

    #[test]
    fn names_are_looked_up_only_where_a_rule_could_use_them() {
        let by_name = network(&["example.org:443", "10.0.0.0/8"], &[]);
        assert!(by_name.check_name("example.org").is_ok() && by_name.check_name("localhost").is_ok());
        assert!(by_name.check_name("secret.example.com").is_err());
        assert!(network(&["*:443"], &[]).check_name("anything.example").is_ok());
        assert!(network(&[], &["*"]).check_name("example.org").is_err());
        assert!(by_name.check_address([10, 1, 1, 1].into()).is_ok());
        assert!(by_name.check_address([1, 1, 1, 1].into()).is_err());
    }

    #[test]
    fn localhost_is_never_answered_with_another_machine() {
        let mut found = vec![[1, 1, 1, 1].into(), [127, 0, 0, 1].into()];
        network(&["localhost"], &[]).note("localhost", &mut found, &mut Answers::default());
        assert_eq!(found, [IpAddr::from([127, 0, 0, 1])]);
    }

    #[test]
    fn listening_follows_address_and_port() {
        let loopback = network(&[], &["localhost"]);
        assert!(listens(&loopback, "127.0.0.1:0") && listens(&loopback, "[::1]:8080"));
        assert!(!listens(&loopback, "0.0.0.0:8080") && !listens(&loopback, "[::]:0"));
        let one = network(&[], &["127.0.0.1:8000-8010"]);
        assert!(listens(&one, "127.0.0.1:8005") && listens(&one, "[::ffff:127.0.0.1]:8005"));
        assert!(
            !listens(&one, "127.0.0.1:0") && !listens(&one, "127.0.0.1:8011") && !listens(&one, "[::1]:8005")
        );
        assert!(listens(&network(&[], &["127.0.0.1:0"]), "127.0.0.1:0"));
        let v4 = network(&[], &["0.0.0.0:80"]);
        assert!(listens(&v4, "0.0.0.0:80") && listens(&v4, "10.0.0.1:80") && !listens(&v4, "[::]:80"));
        for rule in ["[::]:80", "*:80"] {
            let all = network(&[], &[rule]);
            assert!(listens(&all, "[::]:80") && listens(&all, "0.0.0.0:80") && !listens(&all, "[::]:0"));
        }
    }

    #[test]
    fn a_refusal_names_what_was_wanted_and_the_flag() {
        let closed = Network::closed();
        let to = "10.0.0.5:5432".parse().unwrap();
        assert_eq!(
            closed.check_connect(to, &Answers::default()).unwrap_err(),
            "connecting to 10.0.0.5:5432 is not allowed; --allow-net=10.0.0.5:5432 would allow it"
        );
        assert_eq!(
            closed.check_listen("[::1]:80".parse().unwrap()).unwrap_err(),
            "listening on [::1]:80 is not allowed; --listen=[::1]:80 would allow it"
        );
        assert_eq!(
            closed.check_name("example.org").unwrap_err(),
            "looking up example.org is not allowed; --allow-net=example.org would allow it"
        );
    }

    #[test]
    fn bad_rules_are_errors() {
        assert!(Network::closed().allow("localhost:0").is_err());
        assert!(Network::closed().listen("example.org:80").is_err());
    }

    #[test]
    fn old_answers_make_room_for_new_ones() {
        let mut answers = Answers::default();
        for n in 0..5000_u32 {
            answers.add(0, Ipv4Addr::from_bits(n).into());
        }
        assert_eq!(answers.0.len(), ANSWERS);
        assert!(answers.contain(0, Ipv4Addr::from_bits(4999).into()));
    }

    proptest! {
        #[test]
        fn a_refusal_s_flag_allows_what_was_refused(v4: u32, v6: u128, six: bool, port in 1..=u16::MAX) {
            let ip = if six { std::net::Ipv6Addr::from_bits(v6).into() } else { Ipv4Addr::from_bits(v4).into() };
            let address = SocketAddr::new(canonical(ip), port);
            let flag = |text: String| text.split('=').nth(1).unwrap().split(' ').next().unwrap().to_owned();
            let refusal = Network::closed().check_connect(address, &Answers::default()).unwrap_err();
            prop_assert!(network(&[&flag(refusal)], &[]).check_connect(address, &Answers::default()).is_ok());
            let refusal = Network::closed().check_listen(address).unwrap_err();
            prop_assert!(network(&[], &[&flag(refusal)]).check_listen(address).is_ok());
        }

        #[test]
        fn nothing_special_is_reached_without_being_named(v4: u32, port: u16, answered: bool) {
            let address = SocketAddr::new(canonical(Ipv4Addr::from_bits(v4).into()), port);
            let network = network(&["*", "example.org"], &[]);
            let mut answers = Answers::default();
            if answered {
                network.note("example.org", &mut vec![address.ip()], &mut answers);
            }
            prop_assert_eq!(network.check_connect(address, &answers).is_ok(), is_public(address.ip()));
        }
    }
}
