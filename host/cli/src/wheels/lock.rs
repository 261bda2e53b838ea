//! Lock files as PEP 751 has them (`pylock.toml`): from uv or anybody, and our own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::choice::{self, Natives};
use super::requirement::{Name, Requirement};
use super::{guest, store};
use crate::failure::Failure;

/// A lock file as it is written, for any machine.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lock {
    lock_version: String,
    requires_python: Option<String>,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    tool: Tool,
    /// Where it was read.
    #[serde(skip)]
    path: PathBuf,
}

/// A package of a lock file.
#[derive(Deserialize)]
pub struct Package {
    /// Its name.
    pub name: Name,
    version: Option<String>,
    marker: Option<String>,
    #[serde(default)]
    wheels: Vec<File>,
    archive: Option<File>,
}

/// A file of a package, at an address or on this machine.
#[derive(Clone, Deserialize, Serialize)]
pub struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathBuf>,
    #[serde(default)]
    hashes: BTreeMap<String, String>,
}

#[derive(Default, Deserialize, Serialize)]
struct Tool {
    #[serde(default)]
    vtwasm: Option<ToolVtwasm>,
}

#[derive(Deserialize, Serialize)]
struct ToolVtwasm {
    /// What was resolved.
    requirements: BTreeSet<String>,
}

impl Package {
    /// All its files.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.wheels.iter().chain(&self.archive)
    }
}

/// Name and version.
impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.version
            .iter()
            .try_for_each(|version| write!(f, " {version}"))
    }
}

impl File {
    /// The last part of its path or address.
    pub fn name(&self) -> &str {
        let path = self.path.as_deref().and_then(Path::to_str);
        let name = self.name.as_deref().or(path).or(self.url.as_deref());
        let name = name.unwrap_or("").split(['?', '#']).next().unwrap_or("");
        name.rsplit('/').next().unwrap_or("")
    }
}

impl Lock {
    /// The lock file at `path`, `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<Lock>> {
        let bad = |what: String| Failure::usage(format!("the lock file {}: {what}", path.display()));
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(Lock::parse(&text, path)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(bad(error.to_string()).into()),
        }
    }

    /// A lock file's text; `path` is where relative paths in it start from, and for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Lock> {
        let bad = |what: String| {
            let failure = Failure::usage(format!("the lock file {}: {what}", path.display()));
            failure.hint("PEP 751 says what a lock file is; --upgrade writes this one anew")
        };
        let mut lock: Lock = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
        if lock.lock_version.split('.').next() != Some("1") {
            return Err(bad(format!("its version {} is not known", lock.lock_version)).into());
        }
        if let Some(required) = &lock.requires_python {
            let fits =
                guest::is_python(required).map_err(|error| bad(format!("requires-python: {error}")))?;
            if !fits {
                let version = guest::VERSION;
                return Err(bad(format!("it is for Python {required}, and this is {version}")).into());
            }
        }
        lock.path = path.to_owned();
        Ok(lock)
    }

    /// What of it is for the guest: one wheel per package.
    pub fn locked(&self, natives: &Natives) -> Result<Locked> {
        let bad = |what: String| Failure::usage(format!("the lock file {}: {what}", self.path.display()));
        let mut packages: Vec<Pinned> = Vec::new();
        for package in &self.packages {
            let marked = package.marker.as_deref().map_or(Ok(true), guest::is_marked);
            if !marked.map_err(|error| bad(format!("{package}: {error}")))? {
                continue;
            }
            if packages.iter().any(|other| other.name == package.name) {
                return Err(bad(format!("it has {} twice", package.name)).into());
            }
            let mut wheel = choice::choose(package, natives)?.clone();
            if wheel.hashes.is_empty() {
                let failure = Failure::packages(format!("{} has no checksum", wheel.name()));
                return Err(failure
                    .hint("a newer uv writes checksums for it: update uv")
                    .into());
            }
            let folder = self.path.parent().unwrap_or(Path::new(""));
            wheel.path = wheel
                .path
                .map(|path| std::path::absolute(folder.join(path)))
                .transpose()?;
            packages.push(Pinned {
                name: package.name.clone(),
                version: package.version.clone(),
                wheels: [wheel],
            });
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let requirements = self.tool.vtwasm.as_ref().map(|tool| tool.requirements.clone());
        Ok(Locked {
            packages,
            requirements,
        })
    }
}

/// What is installed: each package's one wheel.
pub struct Locked {
    packages: Vec<Pinned>,
    /// What was resolved, where that is known.
    requirements: Option<BTreeSet<String>>,
}

#[derive(Serialize)]
struct Pinned {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    wheels: [File; 1],
}

/// A lock file as we write it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Written<'a> {
    lock_version: &'static str,
    created_by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requires_python: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    environments: Vec<&'static str>,
    packages: &'a [Pinned],
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Tool>,
}

impl Locked {
    /// Notes what was resolved.
    pub fn for_requirements(mut self, requirements: &[Requirement]) -> Locked {
        self.requirements = Some(requirements.iter().map(ToString::to_string).collect());
        self
    }

    /// Whether this is what is asked for.
    pub fn check(&self, requirements: &[Requirement], path: &Path) -> Result<()> {
        let unmet = requirements.iter().find(|requirement| !self.meets(requirement));
        let Some(unmet) = unmet else { return Ok(()) };
        let what = format!("the lock file {} is not for {unmet}", path.display());
        Err(Failure::usage(what)
            .hint("add --upgrade to resolve anew and rewrite it")
            .into())
    }

    fn meets(&self, requirement: &Requirement) -> bool {
        if let Some(known) = &self.requirements {
            return known.contains(&requirement.to_string());
        }
        // Somebody else's lock file: what its author asked for is not in it.
        self.packages
            .iter()
            .any(|package| package.name == requirement.name)
    }

    /// One name for these files and what is done with them.
    pub fn key(&self, natives: &Natives) -> String {
        let mut hash = Sha256::new();
        for package in &self.packages {
            let [wheel] = &package.wheels;
            let without = natives.are_left_out(&package.name);
            hash.update(format!(
                "{} {} {:?} {without}\n",
                package.name,
                wheel.name(),
                wheel.hashes
            ));
        }
        hex(&hash.finalize())
    }

    /// Writes it as a lock file that anybody can read.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        store::write_atomically(path, &self.to_text())
    }

    /// How many packages.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    fn to_text(&self) -> String {
        self.text(Written {
            lock_version: "1.0",
            created_by: "vtwasm",
            requires_python: Some(format!("==3.{}.*", guest::MINOR)),
            environments: vec!["sys_platform == 'wasi'"],
            packages: &self.packages,
            tool: self.requirements.clone().map(|requirements| Tool {
                vtwasm: Some(ToolVtwasm { requirements }),
            }),
        })
    }

    /// As uv installs it: it compares what is required with the Python that it runs on.
    pub fn to_installable_text(&self) -> String {
        self.text(Written {
            lock_version: "1.0",
            created_by: "vtwasm",
            requires_python: None,
            environments: Vec::new(),
            packages: &self.packages,
            tool: None,
        })
    }

    fn text(&self, written: Written) -> String {
        let text = toml::to_string(&written).expect("all of it can be TOML");
        format!("# Written by vtwasm; PEP 751 says what it means.\n{text}")
    }
}

/// Hexadecimal, as file names have it: 40 digits are plenty.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}
