//! Finished things on disk, each in a directory named by what went into it.
//!
//! An entry `<stage>/<key>/` is built in a directory beside it and renamed into place once its
//! manifest is written, so what stands under its final name is whole, whenever a build was killed.
//! What is whole can still be damaged later; the manifest tells.

mod key;
mod lock;
mod manifest;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use key::{Key, KeyBuilder, files_below};
pub use lock::BuildLock;
pub use manifest::{Manifest, sha256_file};

use crate::process::explain_full_disk;
use crate::progress::Progress;

/// Where finished things are kept, outside the clone.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$VTWASM_CACHE`, or `vtwasm` in the user's cache directory.
    pub fn from_env() -> Result<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = if let Some(root) = set("VTWASM_CACHE") {
            PathBuf::from(root)
        } else if let Some(cache) = set("XDG_CACHE_HOME") {
            PathBuf::from(cache).join("vtwasm")
        } else if let Some(home) = set("HOME") {
            PathBuf::from(home).join(".cache/vtwasm")
        } else {
            bail!("no place for the cache\nhint: set VTWASM_CACHE to a directory");
        };
        Ok(Self::at(std::path::absolute(root)?))
    }

    /// The cache in the directory `root`, which need not exist yet.
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory in the cache that is no entry: downloads, logs. Made if missing.
    pub fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Where the entry stands, whether or not it does.
    pub fn path(&self, stage: &str, key: &Key) -> PathBuf {
        self.root.join(stage).join(key.short())
    }

    /// The entry, if it is there and its files are of the recorded sizes: cheap, for every start.
    pub fn find(&self, stage: &str, key: &Key) -> Option<PathBuf> {
        let path = self.path(stage, key);
        let manifest = Manifest::read(&path).ok()?;
        (manifest.key == key.to_string() && manifest.check_sizes(&path).is_ok()).then_some(path)
    }

    /// The entry, made by `build` in the directory it is given unless it is there already. Only who
    /// holds the lock may build.
    pub fn ensure(
        &self,
        _lock: &BuildLock,
        stage: &str,
        key: &Key,
        progress: &Progress,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        if let Some(path) = self.find(stage, key) {
            return Ok(path);
        }
        let path = self.path(stage, key);
        if path.exists() {
            progress.note(&format!("{stage}: the cached copy is damaged, building it again"));
        }
        let step = progress.start(stage);
        let temporary = path.with_extension("partial");
        let made = remove(&temporary)
            .and_then(|()| fs::create_dir_all(&temporary).map_err(Into::into))
            .and_then(|()| build(&temporary))
            .and_then(|()| Manifest::describe(key, &temporary)?.write(&temporary))
            .and_then(|()| remove(&path))
            .and_then(|()| fs::rename(&temporary, &path).map_err(Into::into));
        step.finish(made.is_ok());
        match made {
            Ok(()) => Ok(path),
            Err(error) => {
                let error = explain_full_disk(error, &self.root);
                let _ = remove(&temporary);
                Err(error.context(format!("building `{stage}` failed")))
            }
        }
    }

    /// Reads every file of every entry and removes the entries that differ from their manifests.
    /// Returns how many entries were whole, and which were removed.
    pub fn verify(&self, _lock: &BuildLock, stages: &[&str]) -> Result<(usize, Vec<PathBuf>)> {
        let (mut whole, mut removed) = (0, Vec::new());
        for stage in stages {
            let Ok(entries) = fs::read_dir(self.root.join(stage)) else {
                continue;
            };
            for entry in entries {
                let path = entry?.path();
                let checked = Manifest::read(&path).and_then(|manifest| manifest.verify(&path));
                if checked.is_ok() {
                    whole += 1;
                } else {
                    remove(&path)?;
                    removed.push(path);
                }
            }
        }
        Ok((whole, removed))
    }
}

/// Removes a directory or file; that it does not exist is fine.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
