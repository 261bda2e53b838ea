//! Packages for `vtwasm serve`: what tenants' jobs ask for, by the same ways.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use vtwasm::Python;
use vtwasm_server::Packages;

use super::choice::Natives;
use super::lock::Lock;
use super::requirement::Requirement;
use super::store::Store;
use super::uv::Uv;
use super::{SITE_PACKAGES, Wheels};

/// What was resolved is taken for so long, by who does not say a version.
const FRESH: Duration = Duration::from_secs(86_400);

/// Wheels in the cache of the user that runs the service.
pub struct Service {
    /// None, where no jobs run: nothing is unpacked there.
    pub python: Option<Python>,
}

impl Packages for Service {
    fn lock(&self, requirements: &[String]) -> Result<String, String> {
        lock(requirements).map_err(|error| format!("{error:#}"))
    }

    fn folder(&self, lock: &str) -> Result<(PathBuf, String), String> {
        let folder = self.unpacked(lock).map_err(|error| format!("{error:#}"))?;
        Ok((folder, SITE_PACKAGES.into()))
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
    fn unpacked(&self, lock: &str) -> Result<PathBuf> {
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
        wheels.folder(python)
    }
}
