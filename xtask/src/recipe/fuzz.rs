//! libFuzzer from Debian, unpacked without installing it, for `cargo xtask fuzz`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Recipe;
use super::plan::{Inputs, Stage};
use super::toolchain::unpack;
use crate::cache::Key;
use crate::packages::{Group, names};

const LIBRARY: &str = "libfuzzer.a";

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(Stage::Fuzz, include_str!("fuzz.rs"), &[]);
    inputs.packages.add_to_key(key, &packages()).finish()
}

pub fn packages() -> Vec<&'static str> {
    names(Group::Fuzz)
}

/// The library of an entry.
pub fn library(entry: &Path) -> PathBuf {
    entry.join(LIBRARY)
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let root = directory.join("root");
    for package in packages() {
        unpack(recipe, package, &root)?;
    }
    let name = format!("libclang_rt.fuzzer_no_main-{}.a", std::env::consts::ARCH);
    let library = root.join("usr/lib/llvm-22/lib/clang/22/lib/linux").join(name);
    fs::copy(&library, directory.join(LIBRARY)).with_context(|| format!("copying {}", library.display()))?;
    Ok(fs::remove_dir_all(root)?)
}
