//! What comes from outside and is fuzzed: each target is a function of any bytes that panics where
//! something is wrong.
//!
//! The tests here give it the inputs in `tests/fuzz`, which coverage-guided runs have found and reduced,
//! and some thousands made from these. `cargo xtask fuzz TARGET` looks for more ([`coverage`]).

#[cfg(fuzzing)]
mod coverage;
mod guest;
mod imports;
mod snapshots;
mod values;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::fs;
use std::path::{Path, PathBuf};

fn folder(target: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fuzz")).join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no inputs", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// Its end is another's.
    Join(Index, Vec<u8>, Index),
}

impl Change {
    fn apply(self, input: &mut Vec<u8>) {
        let places = input.len() + 1;
        let place = |at: Index| at.index(places);
        match self {
            Change::Set(at, byte) => {
                if let Some(old) = input.get_mut(place(at)) {
                    *old = byte;
                }
            }
            Change::Flip(at, bit) => {
                if let Some(old) = input.get_mut(place(at)) {
                    *old ^= 1 << (bit % 8);
                }
            }
            Change::Insert(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes);
            }
            Change::Remove(at, count) => {
                let at = place(at);
                input.drain(at..(at + count).min(input.len()));
            }
            Change::Join(at, other, from) => {
                input.truncate(place(at));
                input.extend(&other[from.index(other.len() + 1)..]);
            }
        }
    }
}

/// An input of the corpus, changed in some places.
fn changed(corpus: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let at = any::<Index>;
    let bytes = proptest::collection::vec(any::<u8>(), 0..12);
    let change = prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..12_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at(), select(corpus.clone()), at()).prop_map(|(at, other, from)| Change::Join(at, other, from)),
    ];
    let changes = proptest::collection::vec(change, 0..8);
    (select(corpus), changes).prop_map(|(mut input, changes)| {
        changes.into_iter().for_each(|change| change.apply(&mut input));
        input
    })
}

/// The corpus as it is, then so many new inputs (or `PROPTEST_CASES`).
fn short_run(name: &str, cases: u32, target: fn(&[u8])) {
    let corpus = corpus(name);
    corpus.iter().for_each(|input| target(input));
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    proptest!(config, |(input in changed(corpus))| target(&input));
}
