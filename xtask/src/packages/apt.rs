//! apt with a configuration of its own: it uses the machine's mirror, proxy and Debian keys, and
//! touches nothing of the system. It needs no root.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::index::{files_of, stanzas};
use super::lock_file::LockedFile;
use super::mirrors::Mirrors;
use super::wanted::{PIP, PROGRAMS, SOURCE_PREFIX, SOURCES, WASI_LIBC, Wanted};
use crate::process::{find_program, output};
use crate::progress::Progress;

const KEYRINGS: &[&str] = &[
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
];
const HELPER: &str = "/usr/lib/apt/apt-helper";

pub struct Apt {
    directory: PathBuf,
    architecture: String,
    updated: bool,
}

/// Debian's name for this machine's architecture.
pub fn architecture() -> String {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
    .to_owned()
}

impl Apt {
    /// Nothing is written before it is needed.
    pub fn new(directory: PathBuf, architecture: String) -> Self {
        Self {
            directory,
            architecture,
            updated: false,
        }
    }

    /// Downloads one file; apt compares the checksum.
    pub fn download(&self, file: &LockedFile, target: &Path) -> Result<()> {
        let mirrors = Mirrors::of_this_machine()?;
        let partial = target.with_extension("download");
        let uri = format!("{}/{}", mirrors.of_suite(&file.suite), file.path);
        output(
            self.command(HELPER)?
                .arg("download-file")
                .arg(uri)
                .arg(&partial)
                .arg(format!("SHA256:{}", file.sha256)),
        )?;
        fs::rename(&partial, target).with_context(|| format!("writing {}", target.display()))
    }

    /// Brings the signed indexes of all suites up to date, once.
    pub fn update(&mut self, progress: &Progress) -> Result<()> {
        if !self.updated {
            let step = progress.start("apt indexes");
            let updated = output(self.command("apt-get")?.arg("update"));
            step.finish(updated.is_ok());
            updated?;
            self.updated = true;
        }
        Ok(())
    }

    /// All versions of a package in its suites, newest first.
    pub fn candidates(&self, wanted: &Wanted) -> Result<Vec<Vec<LockedFile>>> {
        let mut found: Vec<Vec<LockedFile>> = Vec::new();
        for suite in wanted.suites {
            let index = match wanted.package.strip_prefix(SOURCE_PREFIX) {
                Some(_) => format!("_dists_{suite}_main_source_Sources"),
                None => format!("_dists_{suite}_main_binary-{}_Packages", self.architecture),
            };
            let Some(path) = self.list(&index)? else { continue };
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            found.extend(stanzas(&text, wanted.package).map(|stanza| files_of(stanza, wanted, suite)));
        }
        found.retain(|files| !files.is_empty());
        found.sort_by(|a, b| newer_first(&a[0].version, &b[0].version));
        Ok(found)
    }

    fn list(&self, ending: &str) -> Result<Option<PathBuf>> {
        for entry in fs::read_dir(self.directory.join("state/lists"))? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(ending) {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn command(&self, program: &str) -> Result<Command> {
        if find_program("apt-get").is_none() {
            bail!("this machine has no apt");
        }
        let mut command = Command::new(program);
        command
            .env("APT_CONFIG", self.configuration()?)
            .env("LC_ALL", "C.UTF-8");
        Ok(command)
    }

    /// Writes the configuration and the list of sources; returns the path of the former.
    fn configuration(&self) -> Result<PathBuf> {
        let directory = &self.directory;
        fs::create_dir_all(directory.join("state/lists/partial"))
            .and_then(|()| fs::create_dir_all(directory.join("cache/archives/partial")))
            .with_context(|| format!("making {}", directory.display()))?;
        fs::write(directory.join("status"), "")?;
        fs::write(directory.join("sources.list"), sources_list()?)?;
        // The machine's proxies, without its hooks.
        let machine = output(Command::new("apt-config").arg("dump")).unwrap_or_default();
        let proxies = machine.lines().filter(|line| line.starts_with("Acquire::http"));
        let path = directory.join("apt.conf");
        let place = directory.display();
        let text = format!(
            "{}\n\
             Dir::State \"{place}/state\";\n\
             Dir::State::status \"{place}/status\";\n\
             Dir::Cache \"{place}/cache\";\n\
             Dir::Etc::main \"/dev/null\";\n\
             Dir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourcelist \"{place}/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferencesparts \"/dev/null\";\n\
             APT::Architecture \"{}\";\n\
             APT::Architectures \"{}\";\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::Retries \"3\";\n",
            proxies.collect::<Vec<_>>().join("\n"),
            self.architecture,
            self.architecture,
        );
        fs::write(&path, text)?;
        Ok(path)
    }
}

fn sources_list() -> Result<String> {
    let mirrors = Mirrors::of_this_machine()?;
    let keyring = KEYRINGS.iter().find(|path| Path::new(path).exists());
    let keyring = keyring.context("Debian's keyring is missing\nhint: install debian-archive-keyring")?;
    let mut text = String::new();
    let kinds = [
        ("deb", PROGRAMS),
        ("deb", WASI_LIBC),
        ("deb", PIP),
        ("deb-src", SOURCES),
    ];
    for (kind, suites) in kinds {
        for suite in suites {
            let uri = mirrors.of_suite(suite);
            text.push_str(&format!("{kind} [signed-by={keyring}] {uri} {suite} main\n"));
        }
    }
    Ok(text)
}

/// Debian's order of versions, as dpkg has it.
fn newer_first(a: &str, b: &str) -> Ordering {
    let is = |relation| {
        Command::new("dpkg")
            .args(["--compare-versions", a, relation, b])
            .status()
            .is_ok_and(|status| status.success())
    };
    if is("gt") {
        Ordering::Less
    } else if is("lt") {
        Ordering::Greater
    } else {
        Ordering::Equal
    }
}
