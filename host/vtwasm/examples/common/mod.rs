//! What the examples share: the Python that `cargo xtask python` has built.

use vtwasm::{Artifact, Engine, Python, Result};

pub fn python() -> Result<Python> {
    let folder = std::env::var("VTWASM_PYTHON").unwrap_or_else(|_| {
        eprintln!("VTWASM_PYTHON must name the folder that `cargo xtask python` prints");
        std::process::exit(2)
    });
    Python::new(&Engine::new()?, &Artifact::open(folder)?)
}
