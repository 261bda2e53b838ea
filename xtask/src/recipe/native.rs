//! CPython for this machine at -O3: what the benchmarks compare with. Only built when asked for.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::helper::keep_only;
use super::plan::{Inputs, Stage};
use super::{Recipe, jobs, source};
use crate::cache::Key;

const CONFIGURE: &[&str] = &[
    "--prefix=/usr/local",
    "--disable-test-modules",
    "--without-ensurepip",
];
const OPT: &str = "-DNDEBUG -O3 -Wall";

pub fn key(inputs: &Inputs) -> Key {
    inputs
        .key(Stage::Native, include_str!("native.rs"), &[Stage::Source])
        .text("machine", std::env::consts::ARCH)
        .finish()
}

/// The interpreter of a native entry. It finds its modules beside itself and in the source.
pub fn program(entry: &Path) -> PathBuf {
    entry.join("python")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("native")?;
    let configure = source::tree(&recipe.entry(Stage::Source)).join("configure");
    let mut command = runner.command(configure, directory);
    runner.run(command.args(CONFIGURE).env("OPT", OPT))?;
    runner.run(runner.command("make", directory).arg(jobs()))?;
    keep_only(directory, &["python", "pybuilddir.txt", "build", "Modules"])
}
