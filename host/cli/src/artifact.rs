//! Where the Python that runs inside comes from.

use std::env;
#[cfg(not(feature = "embed"))]
use std::fs;
#[cfg(not(feature = "embed"))]
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use vtwasm::{Artifact, Engine, Python};

use crate::failure::{Failure, progress};

/// What a folder must hold to be a Python artifact. The recipe writes the manifest last.
const FILES: [&str; 3] = ["python.wasm", "python313.zip", "manifest.json"];

/// The Python to run: `$VTWASM_PYTHON`, else the one inside this binary, else the newest that the
/// recipe left in the cache.
pub fn open(engine: &Engine) -> Result<Python> {
    let artifact = find()?;
    if artifact.is_compiled(engine) {
        return Python::new(engine, &artifact).context("preparing Python");
    }
    let started = Instant::now();
    progress("compiling Python for this machine (once; some seconds)…");
    let python = Python::new(engine, &artifact).context("preparing Python")?;
    progress(&format!("compiled in {:.1} s", started.elapsed().as_secs_f32()));
    Ok(python)
}

fn find() -> Result<Artifact> {
    if let Some(folder) = env::var_os("VTWASM_PYTHON").filter(|value| !value.is_empty()) {
        let folder = PathBuf::from(folder);
        if let Some(missing) = FILES.iter().find(|name| !folder.join(name).is_file()) {
            let message = format!("VTWASM_PYTHON={}: {missing} is not there", folder.display());
            let hint = "point it to a folder made by `cargo xtask python`, or unset it";
            return Err(Failure::host(message).hint(hint).into());
        }
        return Ok(Artifact::open(&folder)?);
    }
    built_in()
}

#[cfg(feature = "embed")]
fn built_in() -> Result<Artifact> {
    Ok(Artifact::embedded()?)
}

#[cfg(not(feature = "embed"))]
fn built_in() -> Result<Artifact> {
    let cache = vtwasm::cache_dir()?.join("python");
    let folder = newest_entry(&cache).ok_or_else(|| {
        let message = format!("no Python for wasm is in {}", cache.display());
        let hint = "build one with `cargo xtask python`, or point VTWASM_PYTHON to its folder";
        Failure::host(message).hint(hint)
    })?;
    Ok(Artifact::open(&folder)?)
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
