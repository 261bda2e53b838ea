//! The test of the POSIX layer: guest/tests/posix linked to guest/ without CPython, in the form of
//! an artifact, so that `vtwasm` runs it. Only built for `cargo xtask test`.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::plan::{Inputs, Stage};
use super::{Recipe, python};
use crate::cache::Key;

/// What of guest/ only CPython needs.
const FOR_CPYTHON: &[&str] = &[
    "calls.c",
    "leave.c",
    "main.c",
    "openssl.c",
    "python.c",
    "recursion.s",
    "snapshot.c",
    "sqlite.c",
];
/// Of libc, which CPython's own build names by itself.
const LIBRARIES: [&str; 2] = ["-lwasi-emulated-signal", "-lwasi-emulated-getpid"];
const TESTS: &str = "tests/posix";
/// Where an artifact has its standard library.
const LIBRARY: &str = "python313.zip";

pub fn key(inputs: &Inputs) -> Result<Key> {
    let guest = inputs.workspace.guest();
    let key = inputs
        .key(Stage::Posix, include_str!("posix.rs"), &[Stage::Toolchain])
        .text("link", include_str!("python.rs"))
        .text("checks", include_str!("checks.rs"))
        .text("wrap", include_str!("component.rs"))
        .tree(&inputs.workspace.wit(), |_| true)?
        .tree(&guest.join("include"), |_| true)?
        .tree(&guest.join(TESTS), |_| true)?;
    Ok(python::add_guest(key, &guest)?.finish())
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("posix")?;
    let guest = recipe.workspace.guest();
    let mut sources = python::guest_sources(&guest)?;
    sources.retain(|source| !FOR_CPYTHON.iter().any(|name| source.ends_with(name)));
    sources.extend(python::guest_sources(&guest.join(TESTS))?);
    python::make_module(
        recipe,
        &runner,
        directory,
        &sources,
        &[],
        &LIBRARIES.map(String::from),
    )?;
    Ok(fs::write(directory.join(LIBRARY), "")?)
}
