//! CPython as an artifact: where it comes from, and its form compiled for this machine.

use crate::cache;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::imports::State;
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

const COMPONENT: &str = "python.wasm";
const LIBRARY: &str = "python313.zip";
const MANIFEST: &str = "manifest.json";

/// A Python as `cargo xtask python` makes it: a WebAssembly component and the standard library.
pub struct Artifact {
    /// For people.
    origin: String,
    key: String,
    component: Cow<'static, [u8]>,
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
    program: Program,
    library: PathBuf,
    origin: String,
    description: String,
}

/// A component that fits this host: its imports are resolved, its exports found.
pub(crate) struct Program {
    pub(crate) instance: InstancePre<State>,
    /// `run` of `wit/world.wit`.
    pub(crate) run: ComponentExportIndex,
    /// `run-thread`.
    pub(crate) run_thread: ComponentExportIndex,
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
            component: Cow::Borrowed(include_bytes!(concat!(env!("VTWASM_PYTHON"), "/python.wasm"))),
            library,
        })
    }

    /// The one in a folder: `python.wasm`, `python313.zip`, `manifest.json`.
    ///
    /// # Errors
    /// [`Error::NoArtifact`] if the folder is incomplete.
    pub fn open(folder: impl AsRef<Path>) -> Result<Artifact> {
        let library = folder.as_ref().to_owned();
        let problem = |name: &str, error| {
            Error::NoArtifact(format!("cannot read {}: {error}", library.join(name).display()))
        };
        let read = |name| fs::read(library.join(name)).map_err(|error| problem(name, error));
        fs::metadata(library.join(LIBRARY)).map_err(|error| problem(LIBRARY, error))?;
        Ok(Artifact {
            origin: library.display().to_string(),
            key: cache::hash(&read(MANIFEST)?),
            component: read(COMPONENT)?.into(),
            library,
        })
    }

    /// Whether [`Python::new`] will find it compiled, or take some seconds to do so.
    pub fn is_compiled(&self, engine: &Engine) -> bool {
        self.compiled_path(engine).is_ok_and(|path| cache::is_kept(&path))
    }

    /// One place per artifact, wasmtime release, configuration and kind of CPU.
    fn compiled_path(&self, engine: &Engine) -> Result<PathBuf> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        let name = format!("{}-{:016x}.cwasm", self.key, hasher.finish());
        Ok(cache::dir()?.join("compiled").join(name))
    }

    fn bad(&self, source: wasmtime::Error) -> Error {
        Error::BadArtifact {
            origin: self.origin.clone(),
            source,
        }
    }
}

impl Python {
    /// Takes the artifact's compiled form from the user's cache, or compiles it into there.
    ///
    /// # Errors
    /// [`Error::BadArtifact`], [`Error::Cache`].
    pub fn new(engine: &Engine, artifact: &Artifact) -> Result<Python> {
        let path = artifact.compiled_path(engine)?;
        let compile = || match engine.wasmtime().precompile_component(&artifact.component) {
            Ok(compiled) => Ok(Cow::Owned(compiled)),
            Err(source) => Err(artifact.bad(source)),
        };
        cache::keep(&path, compile)?;
        // SAFETY: compiled code is trusted as this program is. The file lies in a folder that only this
        // user can write, and is as long and as old as when this program wrote it (`cache`).
        let component = unsafe { Component::deserialize_file(engine.wasmtime(), &path) };
        let program = component.and_then(|component| Program::new(engine, &component));
        Ok(Python {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                program: program.map_err(|source| artifact.bad(source))?,
                library: artifact.library.clone(),
                description: format!("(key {}), compiled: {}", artifact.key, path.display()),
                origin: artifact.origin.clone(),
            }),
        })
    }

    /// Where this Python comes from and where its compiled form is, for people.
    pub fn describe(&self) -> String {
        format!("{} {}", self.inner.origin, self.inner.description)
    }

    /// The error for an artifact that turns out not to fit when it runs.
    pub(crate) fn bad(&self, source: wasmtime::Error) -> Error {
        Error::BadArtifact {
            origin: self.inner.origin.clone(),
            source,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    pub(crate) fn program(&self) -> &Program {
        &self.inner.program
    }

    pub(crate) fn library(&self) -> &Path {
        &self.inner.library
    }
}
