//! The Debian packages that the recipe is made of: which, which version, and how they get here.
//!
//! `python-wasm/packages.lock` names each file with its checksum. A file comes from the cache, from
//! the directory that the developer hands in, or from the machine's own mirror. If the mirror has
//! dropped the locked version, the newest one that Debian signed is used instead, with a notice;
//! what was used then is remembered in the cache, and the keys of the stages follow it.

mod apt;
mod index;
mod lock_file;
mod mirrors;
mod wanted;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use lock_file::{LockFile, LockedFile};
pub use wanted::{Group, WANTED, names};

use crate::cache::{Cache, KeyBuilder, sha256_file};
use crate::progress::Progress;
use apt::Apt;

/// The packages as resolved for this machine.
pub struct Packages {
    /// What to use, by package.
    chosen: BTreeMap<String, Vec<LockedFile>>,
    /// Where a substitution for this very lock file is remembered.
    memory: PathBuf,
    downloads: PathBuf,
    handed_in: Option<PathBuf>,
    apt: Apt,
    progress: Progress,
}

impl Packages {
    pub fn open(
        lock_path: &Path,
        cache: &Cache,
        handed_in: Option<PathBuf>,
        progress: &Progress,
    ) -> Result<Self> {
        let architecture = apt::architecture();
        let lock = LockFile::read(lock_path)?;
        let mut chosen = lock.by_package(&architecture);
        let id = KeyBuilder::new("packages")
            .file(lock_path)?
            .text("architecture", &architecture)
            .finish();
        let memory = cache.root().join("resolved").join(format!("{}.lock", id.short()));
        if let Ok(substituted) = LockFile::read(&memory) {
            chosen.extend(substituted.by_package(&architecture));
        }
        Ok(Self {
            chosen,
            memory,
            downloads: cache.root().join("downloads"),
            handed_in,
            apt: Apt::new(cache.root().join("apt"), architecture),
            progress: progress.clone(),
        })
    }

    /// The files of a package as they would be used now.
    pub fn files(&self, package: &str) -> &[LockedFile] {
        self.chosen.get(package).map_or(&[], Vec::as_slice)
    }

    pub fn version(&self, package: &str) -> &str {
        self.files(package)
            .first()
            .map_or("unknown", |file| &file.version)
    }

    /// Adds all that identifies the packages to a key.
    pub fn add_to_key(&self, mut key: KeyBuilder, packages: &[&str]) -> KeyBuilder {
        for package in packages {
            for file in self.files(package) {
                key = key.text(package, &file.sha256);
            }
        }
        key
    }

    /// Where a file that [`obtain`](Self::obtain) brought stands.
    pub fn path(&self, file: &LockedFile) -> PathBuf {
        self.downloads.join(file.name())
    }

    /// Brings all files of these packages here. True if another version than the one that was
    /// planned with had to be taken.
    pub fn obtain(&mut self, packages: &[&str]) -> Result<bool> {
        fs::create_dir_all(&self.downloads)
            .with_context(|| format!("making {}", self.downloads.display()))?;
        let step = (!packages.is_empty()).then(|| self.progress.start("downloads"));
        let obtained = self.obtain_each(packages);
        if let Some(step) = step {
            step.finish(obtained.is_ok());
        }
        obtained
    }

    fn obtain_each(&mut self, packages: &[&str]) -> Result<bool> {
        let mut substituted = false;
        for package in packages {
            let locked = self.files(package).to_vec();
            let brought = if locked.is_empty() {
                Err(anyhow::anyhow!(
                    "the lock file has no `{package}` for this architecture"
                ))
            } else {
                locked.iter().try_for_each(|file| self.bring(file))
            };
            if let Err(reason) = brought {
                self.substitute(package, &reason)
                    .map_err(|error| self.explain(package, &reason, &error))?;
                substituted = true;
            }
        }
        if substituted {
            fs::create_dir_all(self.memory.parent().expect("a path in the cache"))?;
            LockFile::from_packages(&self.chosen).write(&self.memory)?;
        }
        Ok(substituted)
    }

    /// Makes the file be in the downloads with its checksum.
    fn bring(&self, file: &LockedFile) -> Result<()> {
        let target = self.path(file);
        if sha256_file(&target).is_ok_and(|found| found == file.sha256) {
            return Ok(());
        }
        if let Some(directory) = &self.handed_in {
            let handed = directory.join(file.name());
            if handed.is_file() {
                if sha256_file(&handed)? != file.sha256 {
                    bail!("{} is not the locked file (its sha256 differs)", handed.display());
                }
                fs::copy(&handed, &target).with_context(|| format!("copying {}", handed.display()))?;
                return Ok(());
            }
        }
        self.apt.download(file, &target)
    }

    /// Takes the newest signed version that can be had instead of the locked one.
    fn substitute(&mut self, package: &str, reason: &anyhow::Error) -> Result<()> {
        let wanted = wanted::find(package);
        self.apt.update(&self.progress)?;
        for candidate in self.apt.candidates(wanted)? {
            if candidate == self.files(package) {
                continue;
            }
            if candidate.iter().try_for_each(|file| self.bring(file)).is_ok() {
                self.progress.note(&format!(
                    "notice: {package} {} is not to be had ({reason:#}); using {} from {}, signed \
                     by Debian. `cargo xtask python --update-lock` makes that the locked version.",
                    self.version(package),
                    candidate[0].version,
                    candidate[0].suite,
                ));
                self.chosen.insert(package.to_owned(), candidate);
                return Ok(());
            }
        }
        bail!("no other signed version can be downloaded either")
    }

    fn explain(&self, package: &str, reason: &anyhow::Error, then: &anyhow::Error) -> anyhow::Error {
        let names: Vec<_> = self
            .files(package)
            .iter()
            .map(|file| format!("  {}  (sha256 {})", file.name(), file.sha256))
            .collect();
        anyhow::anyhow!(
            "the Debian package `{package}` could not be downloaded: {reason:#}; {then:#}\n\
             wanted:\n{}\n\
             hint: put these files into a directory and pass it as VTWASM_DOWNLOADS=DIR or \
             `cargo xtask python --downloads DIR`",
            names.join("\n")
        )
    }

    /// Writes the newest signed versions of everything to the lock file.
    pub fn update_lock(&mut self, lock_path: &Path) -> Result<()> {
        fs::create_dir_all(&self.downloads)?;
        self.apt.update(&self.progress)?;
        let mut newest = BTreeMap::new();
        for wanted in WANTED {
            let candidates = self.apt.candidates(wanted)?;
            let found = candidates
                .into_iter()
                .find(|files| files.iter().try_for_each(|file| self.bring(file)).is_ok())
                .with_context(|| format!("the mirror has no `{}`", wanted.package))?;
            newest.insert(wanted.package.to_owned(), found);
        }
        LockFile::from_packages(&newest).write(lock_path)
    }
}
