//! Files of snapshots: a stranger's, a damaged one, another version's.

use crate::saved::{self, Loaded};

const KEY: &str = "key";
/// Bytes of the artifact's own memory.
const LEAST: usize = 1 << 16;
/// Larger images are not written again here, for the time that it takes.
const WRITTEN_AGAIN: usize = 1 << 20;

#[test]
fn any_file_is_a_snapshot_that_fits_or_is_refused() {
    super::short_run("snapshots", 2_000, target);
}

/// The first byte says whether the rest is a file, or only what comes after a right header.
pub(super) fn target(bytes: &[u8]) {
    let Some((&whole, rest)) = bytes.split_first() else {
        return;
    };
    let file = match whole {
        b'f' => rest.to_vec(),
        _ => saved::with_header(rest.to_vec()),
    };
    let Ok(loaded) = saved::load(&file, KEY, LEAST) else {
        return;
    };
    let Loaded { key, mounts, image } = &loaded;
    assert_eq!(key, KEY);
    assert!((LEAST..=4 << 30).contains(&image.length()));
    if image.length() > WRITTEN_AGAIN {
        return;
    }
    let again = saved::encode(key, mounts, image.bytes());
    let again = saved::load(&again, KEY, LEAST).expect("what is written can be read");
    assert_eq!(again.image.bytes(), image.bytes());
    let guests =
        |mounts: &[(std::path::PathBuf, String)]| mounts.iter().map(|m| m.1.clone()).collect::<Vec<_>>();
    assert_eq!(guests(&again.mounts), guests(mounts));
}
