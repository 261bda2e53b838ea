//! Files that the embedder gives as bytes: in a folder of their own, in memory where the kernel has a file
//! system for that, from which they are mounted, and which is removed with the sandbox.

use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

/// Where Linux has a file system in memory.
const IN_MEMORY: &str = "/dev/shm";

pub(crate) struct Folder {
    path: PathBuf,
    /// Where the files are, for the guest.
    folders: BTreeSet<PathBuf>,
}

impl Folder {
    pub(crate) fn new() -> io::Result<Folder> {
        let random = RandomState::new().build_hasher().finish();
        let name = format!("vtwasm-{}-{random:016x}", std::process::id());
        let make = |parent: &Path| {
            let path = parent.join(&name);
            fs::DirBuilder::new().mode(0o700).create(&path).map(|()| path)
        };
        let path = make(Path::new(IN_MEMORY)).or_else(|_| make(&std::env::temp_dir()))?;
        Ok(Folder {
            path,
            folders: BTreeSet::new(),
        })
    }

    /// Puts a file in; one that was there is replaced.
    pub(crate) fn add(&mut self, guest: &str, bytes: &[u8]) -> Result<()> {
        let failed = |problem: String| Error::File {
            path: guest.to_owned(),
            problem,
        };
        let folder = folder_of(guest).ok_or_else(|| failed("it is no absolute path of a file".into()))?;
        let host = self.path.join(guest.trim_start_matches('/'));
        fs::create_dir_all(self.host(folder))
            .and_then(|()| fs::write(host, bytes))
            .map_err(|error| failed(error.to_string()))?;
        self.folders.insert(folder.to_owned());
        Ok(())
    }

    fn host(&self, guest: &Path) -> PathBuf {
        self.path.join(guest.strip_prefix("/").unwrap_or(guest))
    }

    /// What is to be mounted, and where: the folders of files that are in no other such folder.
    pub(crate) fn mounts(&self) -> impl Iterator<Item = (PathBuf, &str)> {
        let outermost = |folder: &&PathBuf| {
            !folder
                .ancestors()
                .skip(1)
                .any(|outer| self.folders.contains(outer))
        };
        let folders = self.folders.iter().filter(outermost);
        folders.map(|folder| (self.host(folder), folder.to_str().expect("it was a str")))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The folder of an absolute path without `.`, `..` and the like.
fn folder_of(guest: &str) -> Option<&Path> {
    let path = Path::new(guest);
    let is_plain = |component: Component<'_>| matches!(component, Component::Normal(_));
    let mut components = path.components();
    let is_absolute = components.next() == Some(Component::RootDir);
    // What a path is made of leaves out what is doubled or stands at its end.
    let is_written_so = path.components().collect::<PathBuf>().as_os_str() == guest;
    (is_absolute && is_written_so && components.all(is_plain))
        .then(|| path.parent())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_that_goes_straight_to_a_file_will_do() {
        for (guest, folder) in [("/a", "/"), ("/a/b.py", "/a"), ("/a/b/c", "/a/b")] {
            assert_eq!(folder_of(guest), Some(Path::new(folder)));
        }
        for guest in ["", "/", "a", "/a/", "/a/../b", "/./a", "/a/..", "//a", "/a//b"] {
            assert_eq!(folder_of(guest), None, "{guest:?}");
        }
    }

    #[test]
    fn folders_inside_others_are_not_mounted_and_nothing_stays_behind() {
        let mut folder = Folder::new().unwrap();
        for guest in ["/a/x", "/a/b/x", "/c/d/x", "/c/dd/x"] {
            folder.add(guest, b"bytes").unwrap();
        }
        assert!(folder.add("/a/x/y", b"").is_err() && folder.add("/a/b", b"").is_err());
        assert!(folder.add("/e/\0", b"").is_err());
        let path = folder.path.clone();
        let mounts: Vec<_> = folder.mounts().collect();
        assert_eq!(
            mounts,
            [
                (path.join("a"), "/a"),
                (path.join("c/d"), "/c/d"),
                (path.join("c/dd"), "/c/dd")
            ]
        );
        assert_eq!(fs::read(path.join("a/b/x")).unwrap(), b"bytes");
        folder.add("/x", b"").unwrap();
        assert_eq!(folder.mounts().collect::<Vec<_>>(), [(path.join(""), "/")]);
        drop(folder);
        assert!(!path.exists());
    }
}
