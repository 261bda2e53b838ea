//! Which addresses belong to the public internet, by IANA's special-purpose registries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A block of addresses: those that share `prefix` bits with `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    address: IpAddr,
    prefix: u8,
}

impl Block {
    /// `None` if the prefix is longer than the address, or the address has bits beyond it.
    pub(super) fn new(address: IpAddr, prefix: u8) -> Option<Block> {
        let block = Block { address, prefix };
        (prefix <= width(address) && block.masked(address) == bits(address)).then_some(block)
    }

    /// The block of one address.
    pub(super) fn single(address: IpAddr) -> Block {
        let prefix = width(address);
        Block { address, prefix }
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && self.masked(address) == bits(self.address)
    }

    /// Every address of its family.
    pub(super) fn is_all(&self) -> bool {
        self.prefix == 0
    }

    fn masked(&self, address: IpAddr) -> u128 {
        let host_bits = u32::from(width(address) - self.prefix);
        // A shift by all bits of the number is no shift at all.
        bits(address)
            .checked_shr(host_bits)
            .map_or(0, |network| network << host_bits)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address that packets for `address` go to: an IPv4 address in IPv6's clothes is that IPv4
/// address, and Linux takes the unspecified address for loopback.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        address => address,
    }
}

/// Whether it is a host of the public internet: not private, loopback, link-local, shared, multicast,
/// broadcast, reserved, for documentation, or a way around that (NAT64, 6to4, Teredo).
pub(super) fn is_public(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Blocks that are not public, by their first address and prefix.
const SPECIAL_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|&(network, prefix)| {
        let shift = 32 - u32::from(prefix);
        address.to_bits() >> shift == Ipv4Addr::from(network).to_bits() >> shift
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (a, b) {
        // NAT64 and 6to4 reach the IPv4 address that is in them.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => is_public_v4(embedded(g, h)),
        (0x2002, _) => is_public_v4(embedded(b, c)),
        // IETF's protocols with Teredo and ORCHID; documentation, twice.
        (0x2001, 0..=0x1ff | 0xdb8) => false,
        (0x3fff, 0..=0xfff) => false,
        // All else that was ever given to hosts of the internet.
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn special_addresses_are_not_public_whatever_they_wear() {
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "3fff::1",
        ];
        for text in special {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        let public = [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.0.1",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_block_has_no_bits_beyond_its_prefix() {
        let block = |text: &str, prefix| Block::new(text.parse().unwrap(), prefix);
        assert!(block("10.0.0.0", 8).is_some() && block("10.0.0.1", 8).is_none());
        assert!(block("10.0.0.0", 33).is_none() && block("::", 129).is_none());
        assert!(block("0.0.0.0", 0).unwrap().contains("1.2.3.4".parse().unwrap()));
        assert!(!block("0.0.0.0", 0).unwrap().contains("::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn a_block_contains_what_shares_its_first_bits(a: u128, b: u128, prefix in 0..=128_u8) {
            let first = |n: u128| (0..prefix).all(|i| n >> (127 - i) & 1 == a >> (127 - i) & 1);
            let network = if prefix == 0 { 0 } else { a >> (128 - prefix) << (128 - prefix) };
            let block = Block::new(Ipv6Addr::from_bits(network).into(), prefix).unwrap();
            prop_assert!(block.contains(Ipv6Addr::from_bits(a).into()));
            prop_assert_eq!(block.contains(Ipv6Addr::from_bits(b).into()), first(b));
        }

        #[test]
        fn mapping_an_address_changes_nothing(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(is_public(address.into()), is_public(address.to_ipv6_mapped().into()));
        }
    }
}
