//! The core module becomes a component.
//!
//! The browser runs the core module itself; wasmtime wants a component. WASI preview 1 is served by
//! the adapter's *reactor* form: Python exports `run`, not `_start`.

use std::path::Path;

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve};

/// The world of `wit/world.wit` that the guest implements.
const WORLD: &str = "python";

/// Wraps the core module `core` by the contract in the directory `wit`.
pub fn wrap(mut core: Vec<u8>, wit: &Path) -> Result<Vec<u8>> {
    let (resolve, package) = contract(wit)?;
    let world = resolve.select_world(&[package], Some(WORLD)).map_err(plain)?;
    embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8).map_err(plain)?;
    ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode())
        .map_err(plain)
        .context("the core module does not fit the contract in wit/ (an import or export differs)")
}

/// The contract's package and version, e.g. `vtwasm:host@0.1.0`.
pub fn package_name(wit: &Path) -> Result<String> {
    let (resolve, package) = contract(wit)?;
    Ok(resolve.packages[package].name.to_string())
}

fn contract(wit: &Path) -> Result<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(wit)
        .map_err(plain)
        .with_context(|| format!("reading the contract in {}", wit.display()))?;
    Ok((resolve, package))
}

/// These crates bring an `anyhow` of their own.
fn plain(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
