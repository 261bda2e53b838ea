//! The native helper: an interpreter for this machine from the same source. The cross build asks
//! it for byte code, frozen modules and configuration, all of which takes seconds, so it is built
//! without optimisation and without extension modules.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::plan::{Inputs, Stage};
use super::{Recipe, jobs, source};
use crate::cache::Key;

const CONFIGURE: &[&str] = &["--prefix=/usr", "--disable-test-modules", "--without-ensurepip"];
const OPT: &str = "-O0 -g0 -DNDEBUG -w";
const TARGETS: &[&str] = &["python", "pybuilddir.txt"];

pub fn key(inputs: &Inputs) -> Key {
    inputs
        .key(Stage::Helper, include_str!("helper.rs"), &[Stage::Source])
        .text("machine", std::env::consts::ARCH)
        .finish()
}

/// The interpreter of a helper entry.
pub fn program(entry: &Path) -> PathBuf {
    entry.join("python")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("helper")?;
    let configure = source::tree(&recipe.entry(Stage::Source)).join("configure");
    let mut command = runner.command(configure, directory);
    runner.run(command.args(CONFIGURE).env("OPT", OPT).env("PKG_CONFIG", "false"))?;
    runner.run(runner.command("make", directory).arg(jobs()).args(TARGETS))?;
    keep_only(
        directory,
        &["python", "pybuilddir.txt", "build", "Modules/Setup.local"],
    )
}

/// Removes all else from a build directory: objects, logs.
pub fn keep_only(directory: &Path, kept: &[&str]) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if kept.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
