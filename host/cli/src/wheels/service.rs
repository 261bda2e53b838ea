//! Packages for `vtwasm serve`: what tenants' jobs ask for, by the same ways.

use std::fs;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result};
use vtwasm::Python;
use vtwasm_server::{Folder, KeptPackages, Packages, Stop};

use super::choice::Natives;
use super::lock::Lock;
use super::requirement::Requirement;
use super::store::{Site, Store};
use super::uv::Uv;
use super::{SITE_PACKAGES, Wheels};

/// What was resolved is taken for so long, by who does not say a version.
const FRESH: Duration = Duration::from_secs(86_400);

/// Wheels in the cache of the user that runs the service.
pub struct Service {
    /// None, where no jobs run: nothing is unpacked there.
    pub python: Option<Python>,
    /// Bytes that are kept; what is in use may be more.
    pub most: u64,
    /// What was kept when this was looked for.
    pub kept: Mutex<Option<KeptPackages>>,
}

impl Packages for Service {
    fn lock(&self, requirements: &[String]) -> Result<String, String> {
        lock(requirements).map_err(|error| format!("{error:#}"))
    }

    fn folder(&self, lock: &str, stop: &Stop) -> Result<Folder, String> {
        let site = self.unpacked(lock, stop).map_err(|error| format!("{error:#}"))?;
        Ok(Folder {
            host: site.path.clone(),
            guest: SITE_PACKAGES.into(),
            held: Box::new(site),
        })
    }

    fn kept(&self) -> KeptPackages {
        self.lock().unwrap_or_default()
    }
}

fn lock(requirements: &[String]) -> Result<String> {
    let parsed = requirements.iter().map(|text| {
        let requirement = Requirement::parse(text);
        requirement.map_err(|problem| anyhow::anyhow!("{text:?}: {problem}"))
    });
    let parsed = parsed.collect::<Result<Vec<_>>>()?;
    let store = Store::open()?;
    let natives = Natives::new(&[])?;
    let path = store.resolved(&parsed);
    let age = fs::metadata(&path).and_then(|about| about.modified());
    let age = age.map(|written| written.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age < FRESH)
        && let Some(lock) = Lock::read(&path)?
    {
        lock.locked(&natives)?;
        return super::read_text(&path);
    }
    let lock = Uv::find(&store)?.resolve(&parsed, &store)?;
    let locked = lock.locked(&natives)?.for_requirements(&parsed);
    let written = locked.write(&path);
    written.with_context(|| format!("writing {}", path.display()))?;
    super::read_text(&path)
}

impl Service {
    fn lock(&self) -> MutexGuard<'_, Option<KeptPackages>> {
        self.kept.lock().expect("no code panics with the lock")
    }

    fn unpacked(&self, lock: &str, stop: &Stop) -> Result<Site> {
        let python = self.python.as_ref().context("no jobs run here")?;
        let natives = Natives::new(&[])?;
        let store = Store::open()?;
        let here = store.resolved(&[]);
        let locked = Lock::parse(lock, &here)?.locked(&natives)?;
        let wheels = Wheels {
            locked,
            natives,
            store,
        };
        let is_there = wheels.is_there();
        let site = wheels.folder(python, &|| !stop.is_set())?;
        let known = *self.lock();
        if known.is_none() || !is_there {
            let (bytes, removed) = wheels.store.make_room(self.most);
            let removed = known.map_or(0, |known| known.removed) + removed;
            *self.lock() = Some(KeptPackages { bytes, removed });
        }
        Ok(site)
    }
}
