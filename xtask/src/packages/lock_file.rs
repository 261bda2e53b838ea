//! `packages.lock`: one `[[file]]` per file of a package.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const HEADER: &str = "\
# The Debian packages that `cargo xtask python` builds with. Written by
# `cargo xtask python --update-lock`; paths are below the mirror's root.
";

/// One file of a Debian archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedFile {
    pub package: String,
    pub version: String,
    pub suite: String,
    /// `amd64`, `all`, `source`, …
    pub architecture: String,
    /// Below the root of the archive that `suite` belongs to.
    pub path: String,
    pub sha256: String,
}

impl LockedFile {
    /// The name under which it is downloaded, or handed in.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether a machine of this architecture can use it.
    fn serves(&self, architecture: &str) -> bool {
        matches!(self.architecture.as_str(), "all" | "source") || self.architecture == architecture
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct LockFile {
    #[serde(default, rename = "file")]
    files: Vec<LockedFile>,
}

impl LockFile {
    /// A file that does not exist locks nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.with_context(|| format!("reading {}", path.display()))?,
        };
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, format!("{HEADER}\n{}", toml::to_string(self)?))
            .with_context(|| format!("writing {}", path.display()))
    }

    pub fn by_package(&self, architecture: &str) -> BTreeMap<String, Vec<LockedFile>> {
        let mut packages = BTreeMap::<_, Vec<_>>::new();
        for file in self.files.iter().filter(|file| file.serves(architecture)) {
            packages
                .entry(file.package.clone())
                .or_default()
                .push(file.clone());
        }
        packages
    }

    pub fn from_packages(packages: &BTreeMap<String, Vec<LockedFile>>) -> Self {
        Self {
            files: packages.values().flatten().cloned().collect(),
        }
    }
}
