//! `vtwasm snapshot`: a Python in which packages are imported, or a script has run, as a file; and its way
//! into `vtwasm run`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vtwasm::{Access, Engine, Error, Outcome, Output, Python, Sandbox, Snapshot};

use crate::artifact;
use crate::failure::{Failure, progress};
use crate::options::{RunOptions, SnapshotOptions};
use crate::permissions::Mount;
use crate::run::{limits, tell};
use crate::units::show_size;
use crate::wheels::{self, Wheels};

const AGAIN: &str = "make it (again) with `vtwasm snapshot`";

/// Makes the file and returns the exit code of the process.
pub fn snapshot(options: &SnapshotOptions) -> Result<u8> {
    let (name, source) = source(options)?;
    let limits = limits(&options.limits)?;
    let wheels = Wheels::resolve(&options.packages, options.script.as_deref())?;
    let engine = Engine::new().context("starting the WebAssembly engine")?;
    let python = artifact::open(&engine)?;
    let mut builder = Sandbox::builder(&python);
    for mount in wheels::mounts(wheels.as_ref(), &options.packages, &python)? {
        let guest = mount.guest.to_str().context("the folder's name is not UTF-8")?;
        builder.mount(&mount.host, guest, mount.access)?;
    }
    builder
        .limits(limits.clone())
        .stdout(Output::Inherit)
        .stderr(Output::Inherit);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let snapshot = match runtime.block_on(Snapshot::make(&mut builder, &name, &source)) {
        Err(Error::NoSnapshot { outcome, .. }) if !matches!(outcome, Outcome::Exited(_)) => {
            return Ok(tell(&outcome, &[], &limits));
        }
        Err(error @ Error::NoSnapshot { .. }) => return Err(Failure::usage(error.to_string()).into()),
        other => other.context("making the snapshot")?,
    };
    let written = snapshot.save(&options.output);
    written.map_err(|error| {
        let hint = "give --output the name of a file in a folder that you can write to";
        Failure::usage(format!("{:#}", anyhow::Error::new(error))).hint(hint)
    })?;
    let size = fs::metadata(&options.output).map_or(0, |data| data.len());
    progress(&format!("{}: {}", options.output.display(), show_size(size)));
    Ok(0)
}

/// What is run first, and its name in tracebacks.
fn source(options: &SnapshotOptions) -> Result<(String, String)> {
    let Some(script) = &options.script else {
        return Ok(("<import>".into(), imports(&options.imports)?));
    };
    let cannot = |what: &str| Failure::usage(format!("can't run {}: {what}", script.display()));
    if fs::metadata(script).is_ok_and(|data| !data.is_file()) {
        return Err(cannot("it is no regular file").into());
    }
    let source = fs::read(script).map_err(|error| cannot(&error.to_string()))?;
    let source = String::from_utf8(source).map_err(|_| cannot("it is not UTF-8"))?;
    if source.contains('\0') {
        return Err(cannot("it contains null bytes").into());
    }
    Ok((script.display().to_string(), source))
}

/// Code that imports these modules and leaves no name.
fn imports(modules: &[String]) -> Result<String> {
    for module in modules {
        let is_identifier = |part: &str| {
            part.starts_with(|first: char| first.is_alphabetic() || first == '_')
                && part.chars().all(|char| char.is_alphanumeric() || char == '_')
        };
        if !module.split('.').all(is_identifier) {
            let failure = Failure::usage(format!("--import {module:?}: that is no module's name"));
            return Err(failure
                .hint("write --import json,xml.dom: names as after `import`")
                .into());
        }
    }
    let calls = modules.iter().map(|module| format!("__import__('{module}')\n"));
    Ok(calls.collect())
}

/// The snapshot that `vtwasm run` is to start from.
pub fn open(options: &RunOptions, python: &Python) -> Result<Option<Snapshot>> {
    let open = |path: &PathBuf| Snapshot::open(python, path).map_err(refused);
    options.snapshot.as_ref().map(open).transpose()
}

/// The folders of packages that it was made with. Others that it names must be allowed by flags: who made
/// the file does not decide what may be read.
pub fn mounts(snapshot: &Snapshot) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for (host, guest) in snapshot.mounts() {
        if !wheels::is_kept(host)? {
            continue;
        }
        wheels::hold(host);
        if !host.is_dir() {
            let what = format!("the packages of the snapshot are gone from {}", host.display());
            return Err(Failure::packages(what).hint(AGAIN).into());
        }
        mounts.push(Mount {
            host: host.to_owned(),
            guest: Path::new(guest).to_owned(),
            access: Access::Read,
        });
    }
    Ok(mounts)
}

/// Errors of the library about snapshots are about what the user asked for.
pub fn refused(error: Error) -> anyhow::Error {
    let hint = match &error {
        Error::BadSnapshot { .. } => AGAIN,
        Error::Snapshot(problem) if problem.contains("folder") => {
            "give the same --site, or make the snapshot again with `vtwasm snapshot`"
        }
        Error::Snapshot(_) => "leave that out, or run without --snapshot",
        _ => return anyhow::Error::new(error),
    };
    Failure::usage(error.to_string()).hint(hint).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_s_name_never_becomes_code() {
        for name in ["", "a b", "a')", "a..b", ".a", "1a", "a\n", "a-b", "a;b"] {
            assert!(imports(&[name.into()]).is_err(), "{name:?}");
        }
        let code = imports(&["json".into(), "xml.dom".into()]).unwrap();
        assert_eq!(code, "__import__('json')\n__import__('xml.dom')\n");
    }
}
