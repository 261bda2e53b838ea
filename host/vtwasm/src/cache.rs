//! Files that can be made again: kept in the user's cache, and trusted only if nobody else can write
//! them and they are as this program wrote them.

use crate::error::{Error, Result};
use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The user's cache of vtwasm: `$VTWASM_CACHE`, `$XDG_CACHE_HOME/vtwasm` or `~/.cache/vtwasm`.
///
/// # Errors
/// [`Error::NoCache`] if none of the variables is set.
pub fn dir() -> Result<PathBuf> {
    let var = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var("VTWASM_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("vtwasm")))
        .or_else(|| Some(var("HOME")?.join(".cache/vtwasm")))
        .ok_or(Error::NoCache)
}

/// A short name for what has this content. It tells one user's files apart; it protects from nothing.
pub(crate) fn hash(content: &[u8]) -> String {
    // FNV-1a.
    let hash = content.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Makes the file at `path` unless it is kept already.
pub(crate) fn keep(path: &Path, make: impl FnOnce() -> Result<Cow<'static, [u8]>>) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Cache { action, path, source }
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed("make the folder", folder))?;
    check_private(folder).map_err(failed("trust the folder", folder))?;
    if is_kept(path) {
        return Ok(());
    }
    let bytes = make()?;
    write_atomically(path, &bytes).map_err(failed("write", path))?;
    let written = fs::metadata(path).map_err(failed("read", path))?;
    write_atomically(&stamp_path(path), stamp_of(&written).as_bytes()).map_err(failed("write", path))
}

/// Removes all files of this kind in a folder but the newest.
pub(crate) fn keep_newest(folder: &Path, extension: &str, count: usize) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .filter_map(|path| Some((fs::metadata(&path).ok()?.modified().ok()?, path)))
        .collect();
    files.sort_unstable();
    for (_, path) in files.iter().rev().skip(count) {
        // Another process may have done so, or may be about to open it and will do without.
        let _ = fs::remove_file(stamp_path(path));
        let _ = fs::remove_file(path);
    }
}

/// Who can write to a folder can put another file of this user's there, a sandbox's output for example.
fn check_private(folder: &Path) -> std::io::Result<()> {
    let found = fs::metadata(folder)?;
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::geteuid() };
    let problem = if found.uid() != me {
        format!("it belongs to user {}, and this is user {me}", found.uid())
    } else if found.permissions().mode() & 0o022 != 0 {
        "others can write to it (its mode should be 700)".into()
    } else {
        return Ok(());
    };
    Err(std::io::Error::other(problem))
}

/// Whether the file is there, whole, and nobody else could have written it.
pub(crate) fn is_kept(path: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else {
        return false;
    };
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::geteuid() };
    let private = found.uid() == me && found.permissions().mode() & 0o022 == 0;
    private && fs::read_to_string(stamp_path(path)).is_ok_and(|stamp| stamp == stamp_of(&found))
}

fn stamp_path(path: &Path) -> PathBuf {
    path.with_added_extension("stamp")
}

/// A truncated, overwritten or touched file has another stamp, a tick of the kernel's clock later.
fn stamp_of(file: &fs::Metadata) -> String {
    format!("{} {}.{:09}", file.len(), file.mtime(), file.mtime_nsec())
}

/// Readable by its owner alone.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_added_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(path: &Path) -> bool {
        let mut made = false;
        keep(path, || {
            made = true;
            Ok(Cow::Borrowed(b"compiled code".as_slice()))
        })
        .unwrap();
        made
    }

    /// A kernel's files have the time of its last tick, of 10 ms at most: what comes later has another.
    fn a_tick() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }

    #[test]
    fn a_file_is_made_once_and_again_when_it_is_not_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/python.cwasm");
        assert!(made(&path));
        assert!(!made(&path));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "it may hold secrets");
        fs::write(&path, b"compiled").unwrap();
        assert!(made(&path), "truncated");
        fs::remove_file(stamp_path(&path)).unwrap();
        assert!(made(&path), "without its stamp");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(made(&path), "writable by others");
        assert!(!made(&path));
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("python.cwasm");
        assert!(made(&path));
        let refused = |file: &Path| {
            let error = keep(file, || panic!("nothing is written there")).unwrap_err();
            std::error::Error::source(&error).unwrap().to_string()
        };
        for mode in [0o777, 0o1777, 0o770] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert!(refused(&path).contains("others can write"), "{mode:o}");
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!made(&path));
        // Whoever runs the tests, one of these is another's.
        let foreign = if std::os::unix::fs::chown(folder.path(), Some(12_345), None).is_ok() {
            path.as_path()
        } else {
            Path::new("/usr/python.cwasm")
        };
        assert!(refused(foreign).contains("belongs to user"));
    }

    #[test]
    fn what_was_changed_in_place_is_not_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("python.cwasm");
        assert!(made(&path));
        let mut changed = fs::read(&path).unwrap();
        changed[0] ^= 1;
        a_tick();
        fs::write(&path, changed).unwrap();
        assert!(made(&path), "of the same length");
        assert_eq!(fs::read(&path).unwrap(), b"compiled code");
        let other = folder.path().join("other");
        a_tick();
        fs::write(&other, b"compiled code").unwrap();
        fs::rename(&other, &path).unwrap();
        assert!(made(&path), "another file in its place");
    }

    #[test]
    fn only_the_newest_stay() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..5 {
            assert!(made(&folder.path().join(format!("{number}.image"))));
            a_tick();
        }
        fs::write(folder.path().join("other"), b"").unwrap();
        keep_newest(folder.path(), "image", 2);
        let is_kept = |number| is_kept(&folder.path().join(format!("{number}.image")));
        assert_eq!([0, 1, 2, 3, 4].map(is_kept), [false, false, false, true, true]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn what_cannot_be_written_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = keep(&file.join("python.cwasm"), || Ok(Cow::Borrowed(b"x".as_slice()))).unwrap_err();
        assert!(error.to_string().contains("make the folder"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
