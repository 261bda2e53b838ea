//! Packages that jobs ask for. Who embeds the service says how they are had ([`Packages`]); here is who may have which.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// What is done at once in a process: each is a program of its own, and fetches from elsewhere.
const AT_ONCE: usize = 2;
/// Of one job.
const MOST: usize = 64;

/// How packages are had. Both take seconds, and are called where that holds up nobody; errors are for the tenant.
pub trait Packages: Send + Sync + 'static {
    /// What is required, and all that it requires, in one version each: a text by which the same is had again, anywhere.
    ///
    /// # Errors
    /// There is no such thing, or it cannot run in a sandbox.
    fn lock(&self, requirements: &[String]) -> Result<String, String>;

    /// A folder of what is locked that nobody writes to.
    ///
    /// # Errors
    /// It cannot be had, or `stop` was set.
    fn folder(&self, lock: &str, stop: &Stop) -> Result<Folder, String>;

    /// What is kept of them here.
    fn kept(&self) -> KeptPackages {
        KeptPackages::default()
    }
}

/// Whether nobody wants any more what is being done. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Whether to give up.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Sets it when who asked has an answer, or leaves.
struct Asking(Stop);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// A folder of packages.
pub struct Folder {
    /// Where it is.
    pub host: PathBuf,
    /// Where the sandbox wants it.
    pub guest: String,
    /// As long as this is there the folder is, too.
    pub held: Box<dyn Any + Send + Sync>,
}

/// What is kept of packages.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeptPackages {
    /// Bytes.
    pub bytes: u64,
    /// Folders that were removed to make room.
    pub removed: u64,
}

/// Those of a service. Clones share everything.
#[derive(Clone)]
pub struct PackageSource {
    packages: Arc<dyn Packages>,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for PackageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PackageSource")
    }
}

impl PackageSource {
    /// Of these.
    pub fn new(packages: impl Packages) -> PackageSource {
        PackageSource {
            packages: Arc::new(packages),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) async fn lock(&self, requirements: Vec<String>) -> Result<String> {
        self.ask(move |packages| packages.lock(&requirements)).await
    }

    /// What is under way is given up when the caller leaves.
    pub(crate) async fn folder(&self, lock: String) -> Result<Folder> {
        let stop = Stop::default();
        let _asking = Asking(stop.clone());
        self.ask(move |packages| packages.folder(&lock, &stop)).await
    }

    pub(crate) fn kept(&self) -> KeptPackages {
        self.packages.kept()
    }

    async fn ask<T: Send + 'static>(
        &self,
        what: impl FnOnce(&dyn Packages) -> Result<T, String> + Send + 'static,
    ) -> Result<T> {
        let place = self.places.clone().acquire_owned().await;
        let packages = self.packages.clone();
        // Who asked may leave; the place is free when it is done.
        let asked = spawn_blocking(move || {
            let _place = place;
            what(&*packages)
        });
        let asked = asked
            .await
            .unwrap_or_else(|_| Err("finding them panicked".into()));
        asked.map_err(|error| Error::Invalid(format!("packages: {error}")))
    }
}

/// Refuses what a tenant may not have. What an allowed package requires itself is allowed.
pub(crate) fn check(asked: &[String], allowed: &[String]) -> Result<()> {
    if asked.len() > MOST {
        return Err(Error::Invalid(format!("packages: at most {MOST}")));
    }
    for requirement in asked {
        let name = name(requirement).ok_or_else(|| {
            let message = format!("packages: {requirement:?} is none; they are written as requests==2.32.5");
            Error::Invalid(message)
        })?;
        let fits = |allowed: &String| allowed == "*" || PackageName::new(allowed).as_ref() == Some(&name);
        if !allowed.iter().any(fits) {
            let message = format!("packages: this tenant's rules do not allow {name}");
            return Err(Error::Invalid(message));
        }
    }
    Ok(())
}

/// The package of a requirement that is a name, perhaps with extras and versions: no addresses, files, markers, options.
fn name(requirement: &str) -> Option<PackageName> {
    let end = requirement
        .find(|c: char| !is_of_name(c))
        .unwrap_or(requirement.len());
    let (name, rest) = requirement.split_at(end);
    let versions = match rest.strip_prefix('[') {
        Some(extras) => {
            let (extras, versions) = extras.split_once(']')?;
            extras
                .chars()
                .all(|c| is_of_name(c) || c == ',')
                .then_some(versions)?
        }
        None => rest,
    };
    let is_version = |version: &str| {
        let version = version.trim();
        let number = version.trim_start_matches(['<', '>', '=', '!', '~']);
        let is_of_version = |c: char| c.is_ascii_alphanumeric() || ".*+!-".contains(c);
        number.len() < version.len() && !number.trim().is_empty() && number.trim().chars().all(is_of_version)
    };
    let fine =
        requirement.len() <= 255 && (versions.trim().is_empty() || versions.split(',').all(is_version));
    PackageName::new(name).filter(|_| fine)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// A package's name in the one spelling that all its spellings share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String")]
pub struct PackageName(String);

impl PackageName {
    /// The name, if `text` is one.
    pub fn new(text: &str) -> Option<PackageName> {
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (first, last) = (text.chars().next(), text.chars().last());
        if !text.chars().all(is_of_name) || !ends(first) || !ends(last) {
            return None;
        }
        let parts: Vec<&str> = text
            .split(['-', '_', '.'])
            .filter(|part| !part.is_empty())
            .collect();
        Some(PackageName(parts.join("-").to_ascii_lowercase()))
    }
}

impl TryFrom<String> for PackageName {
    type Error = String;

    fn try_from(text: String) -> Result<PackageName, String> {
        PackageName::new(&text).ok_or_else(|| format!("{text:?} is no name of a package"))
    }
}

impl std::fmt::Display for PackageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_is_a_name_and_versions_and_nothing_else() {
        for (requirement, found) in [
            ("requests", "requests"),
            ("Zope.Interface_X[a,b] >= 2, <3", "zope-interface-x"),
            ("requests==2.32.5", "requests"),
            ("a~=1.0", "a"),
            ("a==1.*", "a"),
        ] {
            assert_eq!(
                name(requirement).map(|name| name.to_string()).as_deref(),
                Some(found)
            );
        }
        for wrong in [
            "",
            "-r x",
            "--index-url=x",
            "./a.whl",
            "a\n-r x",
            "a b",
            "a[b",
            "a[b;]",
            "a-",
            "ä",
            "a @ file:///etc",
            "a@x",
            "a; os_name=='x'",
            "a==1; x",
            "a==",
            "a==1,",
            "a==1 -r x",
            "a==$X",
            "a==1\\",
        ] {
            assert_eq!(name(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_tenant_has_what_its_rules_allow_in_any_spelling() {
        let asks = |asked: &str, allowed: &[&str]| {
            let allowed = allowed.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            check(&[asked.to_owned()], &allowed).is_ok()
        };
        assert!(asks("Foo.Bar>=1", &["x", "foo_bar"]) && asks("x", &["*"]));
        assert!(!asks("foo", &[]) && !asks("foo-bar", &["foo"]) && !asks("a;b", &["*"]));
    }
}
