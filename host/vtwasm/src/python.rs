//! CPython as an artifact: where it comes from, and its form compiled for this machine.

use crate::cache;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::imports::State;
use crate::snapshot;
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

const COMPONENT: &str = "python.wasm";
const LIBRARY: &str = "python313.zip";
const MANIFEST: &str = "manifest.json";

/// A Python as `cargo xtask python` makes it: a WebAssembly component and the standard library.
#[derive(Clone)]
pub struct Artifact {
    /// For people.
    origin: String,
    key: String,
    /// Where it is not in the library's folder.
    built_in: Option<&'static [u8]>,
    /// The folder that holds the standard library.
    library: PathBuf,
}

/// A Python that is ready to run. Cheap to clone.
#[derive(Clone)]
pub struct Python {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    artifact: Artifact,
    /// Starts where Python is initialised; missing if the artifact cannot make an image of that.
    warm: OnceLock<Program>,
    /// As the artifact is. Loaded when it is wanted.
    cold: OnceLock<Program>,
}

/// A component that fits this host: its imports are resolved, its exports found.
pub(crate) struct Program {
    pub(crate) instance: InstancePre<State>,
    /// `run` of `wit/world.wit`.
    pub(crate) run: ComponentExportIndex,
    /// `run-thread`.
    pub(crate) run_thread: ComponentExportIndex,
    makes_images: bool,
}

impl Program {
    fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Program> {
        let export = |name: &str| {
            let index = component.get_export_index(None, name);
            index.ok_or_else(|| wasmtime::Error::msg(format!("the component has no export `{name}`")))
        };
        Ok(Program {
            instance: engine.linker().instantiate_pre(component)?,
            run: export("run")?,
            run_thread: export("run-thread")?,
            makes_images: component
                .component_type()
                .imports(engine.wasmtime())
                .any(|(name, _)| name == snapshot::INTERFACE),
        })
    }
}

impl Artifact {
    /// The one that was built into this program (feature `embed`). Its standard library is kept in
    /// the user's cache: [`cache_dir`](crate::cache_dir).
    ///
    /// # Errors
    /// [`Error::Cache`].
    #[cfg(feature = "embed")]
    pub fn embedded() -> Result<Artifact> {
        let zip = include_bytes!(concat!(env!("VTWASM_PYTHON"), "/python313.zip"));
        // The manifest names all that went into the artifact.
        let key = cache::hash(include_bytes!(concat!(env!("VTWASM_PYTHON"), "/manifest.json")));
        let library = cache::dir()?.join("embedded").join(&key);
        cache::keep(&library.join(LIBRARY), || Ok(Cow::Borrowed(zip.as_slice())))?;
        Ok(Artifact {
            origin: "built into this program".into(),
            key,
            built_in: Some(include_bytes!(concat!(env!("VTWASM_PYTHON"), "/python.wasm"))),
            library,
        })
    }

    /// The one in a folder: `python.wasm`, `python313.zip`, `manifest.json`.
    ///
    /// # Errors
    /// [`Error::NoArtifact`] if the folder is incomplete.
    pub fn open(folder: impl AsRef<Path>) -> Result<Artifact> {
        let library = folder.as_ref().to_owned();
        for name in [LIBRARY, COMPONENT] {
            fs::metadata(library.join(name)).map_err(|error| unreadable(&library, name, &error))?;
        }
        let manifest = library.join(MANIFEST);
        let manifest = fs::read(manifest).map_err(|error| unreadable(&library, MANIFEST, &error))?;
        Ok(Artifact {
            origin: library.display().to_string(),
            // It names all that went into the artifact.
            key: cache::hash(&manifest),
            built_in: None,
            library,
        })
    }

    fn component(&self) -> Result<Cow<'static, [u8]>> {
        if let Some(bytes) = self.built_in {
            return Ok(Cow::Borrowed(bytes));
        }
        let read = fs::read(self.library.join(COMPONENT));
        let bytes = read.map_err(|error| unreadable(&self.library, COMPONENT, &error))?;
        Ok(Cow::Owned(bytes))
    }

    /// Whether [`Python::new`] will find it compiled, or take some seconds to do so.
    pub fn is_compiled(&self, engine: &Engine) -> bool {
        self.warm_path(engine).is_ok_and(|path| cache::is_kept(&path))
    }

    /// One place per artifact, wasmtime release, configuration and kind of CPU.
    fn cold_path(&self, engine: &Engine) -> Result<PathBuf> {
        self.compiled_path(engine, &self.key)
    }

    /// And per what is in the image.
    fn warm_path(&self, engine: &Engine) -> Result<PathBuf> {
        self.compiled_path(
            engine,
            &format!("{}-{}", self.key, cache::hash(snapshot::PRELOAD.as_bytes())),
        )
    }

    fn compiled_path(&self, engine: &Engine, name: &str) -> Result<PathBuf> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        let name = format!("{name}-{:016x}.cwasm", hasher.finish());
        Ok(cache::dir()?.join("compiled").join(name))
    }
}

impl Python {
    /// Takes the artifact's compiled form from the user's cache, or makes it: compiles the artifact,
    /// lets it initialise itself, and compiles it with the image of that.
    ///
    /// # Errors
    /// [`Error::BadArtifact`], [`Error::Cache`].
    pub fn new(engine: &Engine, artifact: &Artifact) -> Result<Python> {
        let python = Python {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                artifact: artifact.clone(),
                warm: OnceLock::new(),
                cold: OnceLock::new(),
            }),
        };
        let path = artifact.warm_path(engine)?;
        if !cache::is_kept(&path) {
            if !python.cold()?.makes_images {
                return Ok(python);
            }
            let component = || snapshot::make(&python, &artifact.component()?);
            cache::keep(&path, || python.compile(&component()?))?;
        }
        let warm = python.load(&path)?;
        python.inner.warm.get_or_init(|| warm);
        Ok(python)
    }

    /// The program that a sandbox starts from: the image, if there is one and it `may_be_warm`.
    pub(crate) fn program(&self, may_be_warm: bool) -> Result<&Program> {
        match self.inner.warm.get() {
            Some(warm) if may_be_warm => Ok(warm),
            _ => self.cold(),
        }
    }

    fn cold(&self) -> Result<&Program> {
        if let Some(program) = self.inner.cold.get() {
            return Ok(program);
        }
        let artifact = &self.inner.artifact;
        let path = artifact.cold_path(&self.inner.engine)?;
        cache::keep(&path, || self.compile(&artifact.component()?))?;
        let program = self.load(&path)?;
        Ok(self.inner.cold.get_or_init(|| program))
    }

    fn compile(&self, component: &[u8]) -> Result<Cow<'static, [u8]>> {
        let compiled = self.inner.engine.wasmtime().precompile_component(component);
        compiled.map(Cow::Owned).map_err(|error| self.bad(error))
    }

    fn load(&self, path: &Path) -> Result<Program> {
        let engine = &self.inner.engine;
        // SAFETY: compiled code is trusted as this program is. The file lies in a folder that only this
        // user can write, and is as long and as old as when this program wrote it (`cache`).
        let component = unsafe { Component::deserialize_file(engine.wasmtime(), path) };
        component
            .and_then(|component| Program::new(engine, &component))
            .map_err(|error| self.bad(error))
    }

    /// Where this Python comes from and where its compiled form is, for people.
    pub fn describe(&self) -> String {
        let Inner { engine, artifact, .. } = &*self.inner;
        let path = artifact.warm_path(engine).unwrap_or_default();
        format!(
            "{} (key {}), compiled: {}",
            artifact.origin,
            artifact.key,
            path.display()
        )
    }

    /// The error for an artifact that turns out not to fit when it runs.
    pub(crate) fn bad(&self, source: wasmtime::Error) -> Error {
        Error::BadArtifact {
            origin: self.inner.artifact.origin.clone(),
            source,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn library(&self) -> &Path {
        &self.inner.artifact.library
    }
}

fn unreadable(folder: &Path, name: &str, error: &std::io::Error) -> Error {
    Error::NoArtifact(format!("cannot read {}: {error}", folder.join(name).display()))
}
