//! CPython as an artifact: where it comes from, how it is compiled for this machine, and the cache
//! that keeps the result.

use crate::engine::Engine;
use crate::error::{Error, Result};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use wasmtime::component::Component;

const COMPONENT: &str = "python.wasm";
const LIBRARY: &str = "python313.zip";
const MANIFEST: &str = "manifest.json";

/// A compiled CPython with its standard library. Cheap to clone.
#[derive(Clone)]
pub struct Python {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    component: Component,
    /// The folder that holds the standard library.
    library: PathBuf,
    description: String,
}

impl Python {
    /// The Python that was built into this program (feature `embed`). Its standard library and its
    /// compiled form are kept in the user's cache: [`cache_dir`].
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Cache`].
    #[cfg(feature = "embed")]
    pub fn embedded(engine: &Engine) -> Result<Python> {
        let component = include_bytes!(concat!(env!("VTWASM_PYTHON"), "/python.wasm"));
        let zip = include_bytes!(concat!(env!("VTWASM_PYTHON"), "/python313.zip"));
        let manifest = include_bytes!(concat!(env!("VTWASM_PYTHON"), "/manifest.json"));
        let key = key(manifest);
        let library = cache_dir()?.join("embedded").join(&key);
        let file = library.join(LIBRARY);
        if fs::metadata(&file).map_or(true, |found| found.len() != zip.len() as u64) {
            make_private(&library)?;
            write_atomically(&file, zip)?;
        }
        Python::compile(engine, &key, component, library, "built into this program".into())
    }

    /// The Python in a folder that `cargo xtask python` made: `python.wasm`, `python313.zip`,
    /// `manifest.json`.
    ///
    /// # Errors
    /// [`Error::NoArtifact`] if the folder is incomplete, [`Error::Compile`], [`Error::Cache`].
    pub fn open(engine: &Engine, dir: impl AsRef<Path>) -> Result<Python> {
        let dir = dir.as_ref();
        let read = |name| {
            let path = dir.join(name);
            fs::read(&path)
                .map_err(|error| Error::NoArtifact(format!("cannot read {}: {error}", path.display())))
        };
        fs::metadata(dir.join(LIBRARY))
            .map_err(|error| Error::NoArtifact(format!("{} has no {LIBRARY}: {error}", dir.display())))?;
        let key = key(&read(MANIFEST)?);
        Python::compile(
            engine,
            &key,
            &read(COMPONENT)?,
            dir.to_owned(),
            dir.display().to_string(),
        )
    }

    fn compile(engine: &Engine, key: &str, wasm: &[u8], library: PathBuf, origin: String) -> Result<Python> {
        let cached = compiled_path(engine, key)?;
        let (component, how) = match load(engine, &cached) {
            Some(component) => (component, "from the cache"),
            None => (compile_into(engine, wasm, &cached)?, "compiled now"),
        };
        Ok(Python {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                component,
                library,
                description: format!("{origin} (key {key}), {how}: {}", cached.display()),
            }),
        })
    }

    /// Where this Python comes from and where its compiled form is, for people.
    pub fn describe(&self) -> String {
        self.inner.description.clone()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn component(&self) -> &Component {
        &self.inner.component
    }

    pub(crate) fn library(&self) -> &Path {
        &self.inner.library
    }
}

/// The user's cache of vtwasm: `$VTWASM_CACHE`, `$XDG_CACHE_HOME/vtwasm` or `~/.cache/vtwasm`.
///
/// # Errors
/// [`Error::NoArtifact`] if none of the variables is set.
pub fn cache_dir() -> Result<PathBuf> {
    let var = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    var("VTWASM_CACHE")
        .or_else(|| Some(var("XDG_CACHE_HOME")?.join("vtwasm")))
        .or_else(|| Some(var("HOME")?.join(".cache/vtwasm")))
        .ok_or_else(|| {
            Error::NoArtifact("neither VTWASM_CACHE nor HOME is set, so there is no cache folder".into())
        })
}

/// The artifact's key: a hash of its manifest, which names all that went into it.
fn key(manifest: &[u8]) -> String {
    // FNV-1a: it tells artifacts of one user apart; it protects from nothing.
    let hash = manifest.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// The compiled form's place: one per artifact, wasmtime release, configuration and kind of CPU.
fn compiled_path(engine: &Engine, key: &str) -> Result<PathBuf> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    engine
        .wasmtime()
        .precompile_compatibility_hash()
        .hash(&mut hasher);
    let name = format!("{key}-{:016x}.cwasm", hasher.finish());
    Ok(cache_dir()?.join("compiled").join(name))
}

/// A cached compiled form, if it is there, whole, and nobody else could have written it.
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    let found = fs::metadata(path).ok()?;
    // SAFETY: it has no preconditions.
    let me = unsafe { libc::geteuid() };
    let private = found.uid() == me && found.permissions().mode() & 0o022 == 0;
    let stamp = fs::read_to_string(stamp_path(path)).ok()?;
    if !private || stamp != stamp_of(&found) {
        return None;
    }
    // SAFETY: compiled code is trusted as this program is: the file is this user's, nobody else can
    // write it, and it is as long and as old as when this program wrote it.
    unsafe { Component::deserialize_file(engine.wasmtime(), path) }.ok()
}

fn compile_into(engine: &Engine, wasm: &[u8], path: &Path) -> Result<Component> {
    let started = Instant::now();
    eprintln!("vtwasm: compiling Python for this machine (once; some seconds)…");
    let compiled = engine
        .wasmtime()
        .precompile_component(wasm)
        .map_err(Error::Compile)?;
    eprintln!("vtwasm: compiled in {:.1} s", started.elapsed().as_secs_f32());
    make_private(path.parent().unwrap_or(path))?;
    write_atomically(path, &compiled)?;
    let written = fs::metadata(path).map_err(|source| cache_error("read", path, source))?;
    write_atomically(&stamp_path(path), stamp_of(&written).as_bytes())?;
    // SAFETY: wasmtime made these bytes a moment ago, in this process.
    unsafe { Component::deserialize(engine.wasmtime(), &compiled) }.map_err(Error::Compile)
}

fn stamp_path(path: &Path) -> PathBuf {
    path.with_extension("stamp")
}

/// A truncated, overwritten or touched file has another stamp.
fn stamp_of(file: &fs::Metadata) -> String {
    format!("{} {}.{:09}", file.len(), file.mtime(), file.mtime_nsec())
}

fn make_private(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| cache_error("make the folder", dir, source))
}

fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let write = || {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&temporary);
        cache_error("write", path, source)
    })
}

fn cache_error(action: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Cache {
        action,
        path: path.to_owned(),
        source,
    }
}
