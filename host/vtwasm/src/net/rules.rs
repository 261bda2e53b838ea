//! The rules of a [`Network`](super::Network), as people write them.

use super::ranges::Block;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// Hosts and ports that may be connected to or listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) host: Host,
    pub(super) ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// `*`: to connect, every public address; to listen, every address of the machine.
    Any,
    /// `localhost`: 127.0.0.0/8 and ::1.
    Loopback,
    /// In lower case, without a dot at its end.
    Name(String),
    Block(Block),
}

/// `HOST`, `HOST:PORT`, `CIDR`, `*:PORT` and so on; the error says what was expected.
pub(super) fn parse(text: &str) -> Result<Rule, String> {
    let (host, ports) = split(text)?;
    let ports = ports.map_or(Ok(0..=u16::MAX), parse_ports)?;
    let host = parse_host(host)?;
    Ok(Rule { host, ports })
}

/// The host and, after a colon, its ports.
fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the ] after the address is missing")?;
        if !host.contains(':') {
            return Err("brackets are for IPv6 addresses, such as [::1]:80".into());
        }
        return match rest.strip_prefix(':') {
            Some(ports) => Ok((host, Some(ports))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("expected a colon and a port after the ]".into()),
        };
    }
    if text.contains("://") || text.starts_with("//") {
        return Err("it is a URL: write only its host and port, such as example.org:443".into());
    }
    Ok(match text.split_once(':') {
        // An IPv6 address without brackets has no port.
        Some((_, rest)) if rest.contains(':') => (text, None),
        Some((host, ports)) => (host, Some(ports)),
        None => (text, None),
    })
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse::<u16>().ok()).flatten();
        number.ok_or_else(|| format!("{text:?} is no port: expected a number up to 65535"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(format!("{text} is no range of ports: write {last}-{first}"));
    }
    Ok(first..=last)
}

fn parse_host(text: &str) -> Result<Host, String> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some((address, prefix)) = text.split_once('/') {
        return parse_block(text, address, prefix);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Host::Block(Block::single(address.to_canonical())));
    }
    let name = normal_name(text).ok_or_else(|| describe_bad_host(text))?;
    match name.as_str() {
        "localhost" => Ok(Host::Loopback),
        _ => Ok(Host::Name(name)),
    }
}

fn parse_block(text: &str, address: &str, prefix: &str) -> Result<Host, String> {
    let bad = || format!("{text:?} is no block of addresses, such as 10.0.0.0/8");
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let prefix: u8 = prefix.parse().map_err(|_| bad())?;
    let block = Block::new(address, prefix);
    block.map(Host::Block).ok_or_else(|| {
        format!("{text:?} is no block of addresses: its address has bits beyond the prefix, or the prefix is too long")
    })
}

/// The name as rules and look-ups compare it, if it can be one in DNS or in a hosts file.
pub(super) fn normal_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    // What ends in a number is an address of an odd form, or a mistake.
    let number = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_digit()) || label.starts_with("0x") || label.starts_with("0X")
    };
    let good = name.len() <= 253 && name.split('.').all(is_label);
    let last = name.rsplit('.').next()?;
    (good && !number(last)).then(|| name.to_ascii_lowercase())
}

fn describe_bad_host(text: &str) -> String {
    if text.is_empty() {
        "the host is missing: write HOST, HOST:PORT, an address, a CIDR or *:PORT".into()
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{text} alone is no host: write HOST:{text}, such as 127.0.0.1:{text} or *:{text}")
    } else if text.contains('*') {
        "a * stands for all hosts, not for a part of a name: name each host".into()
    } else if !text.is_ascii() {
        "write the name in its ASCII form, which begins with xn--".into()
    } else {
        format!("{text:?} is neither a host's name nor an address")
    }
}

impl Host {
    /// Whether the rule names this address itself (by address, block or `localhost`).
    pub(super) fn names(&self, address: IpAddr) -> bool {
        match self {
            Host::Any | Host::Name(_) => false,
            Host::Loopback => address.is_loopback(),
            Host::Block(block) => block.contains(address),
        }
    }

    /// Whether it is for listening on this address. Unspecified is all addresses of the machine, so
    /// only a rule for all of them is for it.
    pub(super) fn binds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Host::Any => true,
            Host::Name(_) => false,
            Host::Loopback => address.is_loopback(),
            Host::Block(block) => block.contains(address) && (block.is_all() || !address.is_unspecified()),
        }
    }

    /// The same rule for listening, where 0.0.0.0 and [::] are all addresses of the machine.
    pub(super) fn for_listening(self) -> Host {
        let is = |address: IpAddr| self == Host::Block(Block::single(address));
        if is(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            Host::Block(Block::new(Ipv4Addr::UNSPECIFIED.into(), 0).expect("0 has no bits"))
        } else if is(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)) {
            // An IPv6 socket listens for IPv4 as well.
            Host::Any
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host(text: &str) -> Host {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).host
    }

    #[test]
    fn rules_are_read_in_all_their_forms() {
        assert_eq!(
            parse("*").unwrap(),
            Rule {
                host: Host::Any,
                ports: 0..=65535
            }
        );
        assert_eq!(
            parse("*:443").unwrap(),
            Rule {
                host: Host::Any,
                ports: 443..=443
            }
        );
        assert_eq!(
            parse("Example.ORG.:80-90").unwrap(),
            Rule {
                host: Host::Name("example.org".into()),
                ports: 80..=90
            }
        );
        assert_eq!(host("LocalHost:1"), Host::Loopback);
        for text in ["10.0.0.0/8", "10.0.0.0/8:53", "10.1.2.3:5432"] {
            assert!(host(text).names("10.1.2.3".parse().unwrap()), "{text}");
        }
        for text in ["fd00::1", "[fd00::1]:80", "fd00::/8", "[fd00::/8]:80"] {
            assert!(host(text).names("fd00::1".parse().unwrap()), "{text}");
        }
        assert!(host("::ffff:10.0.0.1").names("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn rubbish_says_what_was_expected() {
        for (text, expected) in [
            ("", "the host is missing"),
            (":80", "the host is missing"),
            ("8080", "HOST:8080"),
            ("https://example.org/", "URL"),
            ("*.example.org", "name each host"),
            ("bücher.example", "xn--"),
            ("example.org:http", "no port"),
            ("example.org:", "no port"),
            ("example.org:+80", "no port"),
            ("example.org:65536", "no port"),
            ("example.org:90-80", "80-90"),
            ("10.0.0.1/8", "bits beyond the prefix"),
            ("10.0.0.0/99", "prefix is too long"),
            ("10.0.0/8", "no block"),
            ("10.0.0", "neither"),
            ("300.1.1.1", "neither"),
            ("0x7f.1", "neither"),
            ("a..b", "neither"),
            ("a b", "neither"),
            ("[::1", "]"),
            ("[::1]80", "colon"),
            ("[example.org]:80", "IPv6"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = parse(&text);
            let _ = normal_name(&text);
        }

        #[test]
        fn no_odd_text_of_addresses_makes_the_parser_panic(text in "[0-9a-fx:./\\[\\]*-]{0,30}") {
            let _ = parse(&text);
        }
    }
}
