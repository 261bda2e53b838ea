//! Names that nobody can guess.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// `prefix_` and 32 hexadecimal digits: 48 bits of time, so that later ones are greater, and 80 random ones.
pub fn new(prefix: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX) & 0xffff_ffff_ffff;
    format!("{prefix}_{millis:012x}{}", hex(&random::<10>()))
}

/// A token: 256 random bits.
pub fn token() -> String {
    format!("vt_{}", hex(&random::<32>()))
}

/// What is kept of a token. It has 256 random bits, so that no salt and no slow hash is needed.
pub fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_later_id_is_greater_and_none_is_made_twice() {
        let first = super::new("job");
        std::thread::sleep(std::time::Duration::from_millis(2));
        let second = super::new("job");
        assert!(first < second && second.len() == 36, "{first} {second}");
        assert_ne!(super::new("job"), super::new("job"));
    }
}
