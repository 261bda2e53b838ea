//! Where the Python that runs inside comes from.

use std::env;
#[cfg(not(feature = "embed"))]
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use vtwasm::{Engine, Python};

use crate::failure::Failure;

/// What a folder must hold to be a Python artifact. The recipe writes the manifest last.
const FILES: [&str; 3] = ["python.wasm", "python313.zip", "manifest.json"];

/// The Python to run: `$VTWASM_PYTHON`, else the one inside this binary, else the newest that the
/// recipe left in the cache.
pub fn open(engine: &Engine) -> Result<Python> {
    if let Some(folder) = env::var_os("VTWASM_PYTHON").filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        if let Some(missing) = FILES.iter().find(|name| !folder.join(name).is_file()) {
            let message = format!("VTWASM_PYTHON={}: {missing} is not there", folder.display());
            let hint = "point it to a folder made by `cargo xtask python`, or unset it";
            return Err(Failure::host(message).hint(hint).into());
        }
        return open_folder(engine, &folder);
    }
    built_in(engine)
}

#[cfg(feature = "embed")]
fn built_in(engine: &Engine) -> Result<Python> {
    Python::embedded(engine).context("preparing the Python inside this program")
}

#[cfg(not(feature = "embed"))]
fn built_in(engine: &Engine) -> Result<Python> {
    let cache = vtwasm::cache_dir()?.join("python");
    let folder = newest_entry(&cache).ok_or_else(|| {
        let message = format!("no Python for wasm is in {}", cache.display());
        let hint = "build one with `cargo xtask python`, or point VTWASM_PYTHON to its folder";
        Failure::host(message).hint(hint)
    })?;
    open_folder(engine, &folder)
}

fn open_folder(engine: &Engine, folder: &Path) -> Result<Python> {
    Python::open(engine, folder).with_context(|| format!("preparing the Python in {}", folder.display()))
}

/// The complete entry of `folder` whose manifest is the youngest.
#[cfg(not(feature = "embed"))]
fn newest_entry(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries
        .filter(|entry| FILES.iter().all(|name| entry.join(name).is_file()))
        .max_by_key(|entry| {
            fs::metadata(entry.join(FILES[2]))
                .and_then(|data| data.modified())
                .ok()
        })
}
