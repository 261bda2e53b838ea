//! The packages that a program asks for: wheels that uv resolves and unpacks, and existing site
//! folders. Nothing of a package is run on the host.
//!
//! # Layout
//! `requirement` is what is asked for, `script` reads what a script asks for; `guest` is Python as
//! markers see it; `lock` is the resolved set, one file per package (`choice`); `uv` is the tool; `store` keeps what
//! was fetched; `service` is how `vtwasm serve` has all that.

mod choice;
mod guest;
mod lock;
mod requirement;
mod script;
mod service;
mod store;
mod uv;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vtwasm::{Access, Python};

use crate::failure::Failure;
use crate::options::PackageFlags;
use crate::permissions::{Mount, mount};
use choice::Natives;
use lock::{Lock, Locked};
use requirement::Requirement;
use store::{Site, Store};
use uv::{Uv, Wanted};

pub use service::Service;
pub use uv::describe;

/// Where the guest's Python looks for packages (`guest/main.c`).
const SITE_PACKAGES: &str = "/usr/lib/python3.13/site-packages";
/// Where the wheels are instead when there are other folders beside them.
const BESIDE: &str = "/usr/lib/vtwasm/wheels";

/// What a program needs, resolved: one wheel per package, fetched or not.
pub struct Wheels {
    locked: Locked,
    natives: Natives,
    store: Store,
}

impl Wheels {
    /// What the flags, and the script itself, ask for; `None` if that is nothing.
    ///
    /// It is resolved once: the answer is in the lock file that the flags name, or in the cache.
    pub fn resolve(flags: &PackageFlags, script: Option<&Path>) -> Result<Option<Wheels>> {
        let asked = Asked::new(flags, script)?;
        if asked.requirements.is_empty() && flags.lock.is_none() {
            return Ok(None);
        }
        let store = Store::open()?;
        let (path, named) = match &flags.lock {
            Some(path) => (path.clone(), true),
            None => (store.resolved(&asked.requirements), false),
        };
        if !flags.upgrade
            && let Some(lock) = Lock::read(&path)?
        {
            let locked = lock.locked(&asked.natives)?;
            locked.check(&asked.requirements, &path)?;
            return Ok(Some(asked.wheels(locked, store)));
        }
        if asked.requirements.is_empty() {
            let what = format!("--lock={}: nothing asks for a package", path.display());
            return Err(Failure::usage(what)
                .hint("name what to lock with --with, or in the script")
                .into());
        }
        let lock = Uv::find(&store)?.resolve(&asked.requirements, &store)?;
        let locked = lock.locked(&asked.natives)?.for_requirements(&asked.requirements);
        locked.write(&path).map_err(|error| match named {
            true => Failure::usage(format!("--lock={}: {error}", path.display())).into(),
            false => store::cannot("write", &path)(error),
        })?;
        Ok(Some(asked.wheels(locked, store)))
    }

    /// Whether nothing has to be fetched.
    fn is_there(&self) -> bool {
        let key = self.locked.key(&self.natives);
        self.store.sites().join(key).is_dir()
    }

    /// The folder that holds the wheels, fetched if it was not there, for the guest to read.
    fn folder(&self, python: &Python, wanted: Wanted<'_>) -> Result<Site> {
        let key = self.locked.key(&self.natives);
        self.store.site(&key, |room| {
            let site = Uv::find(&self.store)?.install(&self.locked, room, wanted)?;
            self.natives.remove_from(&site)?;
            store::compile(python, &site, SITE_PACKAGES, wanted)?;
            anyhow::ensure!(wanted(), "nobody wants these packages any more");
            Ok(site)
        })
    }
}

/// The folders of packages that the program sees, read-only.
pub fn mounts(wheels: Option<&Wheels>, flags: &PackageFlags, python: &Python) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for site in &flags.site {
        mounts.push(mount(&packages_of(site), Access::Read, "--site")?);
    }
    let alone = mounts.is_empty();
    if let Some(wheels) = wheels {
        let guest = if alone { SITE_PACKAGES } else { BESIDE };
        mounts.insert(0, read_only(wheels.folder(python, &|| true)?.keep(), guest));
    }
    if !alone {
        let folders = mounts.iter().map(|mount| mount.guest.as_path());
        let store = Store::open()?;
        mounts.push(read_only(store.path_file(folders)?.keep(), SITE_PACKAGES));
    }
    Ok(mounts)
}

/// Whether `folder` is one that vtwasm has made, or would: only packages are in it.
pub fn is_kept(folder: &Path) -> Result<bool> {
    let sites = Store::open()?.sites();
    let sites = sites.canonicalize().unwrap_or(sites);
    Ok(folder.parent() == Some(&sites) && folder.file_name().is_some())
}

/// Sees that such a folder stays for as long as this process does, if it is there.
pub fn hold(folder: &Path) {
    if let Some(site) = Site::held(folder) {
        site.keep();
    }
}

fn read_only(host: PathBuf, guest: &str) -> Mount {
    Mount {
        host,
        guest: guest.into(),
        access: Access::Read,
    }
}

/// The packages of a virtual environment, if that is what `site` is; else `site` itself.
fn packages_of(site: &Path) -> PathBuf {
    let versions = fs::read_dir(site.join("lib")).into_iter().flatten().flatten();
    let found = versions
        .map(|entry| entry.path().join("site-packages"))
        .find(|folder| folder.is_dir());
    match found {
        Some(folder) if site.join("pyvenv.cfg").is_file() => folder,
        _ => site.to_owned(),
    }
}

/// What is asked for, from all sides.
struct Asked {
    requirements: Vec<Requirement>,
    natives: Natives,
}

impl Asked {
    fn new(flags: &PackageFlags, script: Option<&Path>) -> Result<Asked> {
        let mut requirements = Vec::new();
        let mut without = flags.without_native.clone();
        for text in &flags.with {
            let requirement = Requirement::parse(text).map_err(|what| {
                let failure = Failure::usage(format!("--with {text:?}: {what}"));
                failure.hint("write it as pip does: --with requests, --with 'flask>=3'")
            })?;
            requirements.push(requirement);
        }
        // An environment that is there stands in for what the script would have fetched.
        if let Some(script) = script
            && flags.site.is_empty()
            && let Some(metadata) = script::read(script)?
        {
            requirements.extend(metadata.dependencies);
            without.extend(metadata.without_native);
        }
        Ok(Asked {
            requirements,
            natives: Natives::new(&without)?,
        })
    }

    fn wheels(self, locked: Locked, store: Store) -> Wheels {
        Wheels {
            locked,
            natives: self.natives,
            store,
        }
    }
}

/// Reads a file that is text.
fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
