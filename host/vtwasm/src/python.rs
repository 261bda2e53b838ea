//! CPython as an artifact: where it comes from, and its form compiled for this machine.

use crate::cache;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::imports::State;
use crate::memory::Image;
use crate::snapshot;
use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};

const COMPONENT: &str = "python.wasm";
const LIBRARY: &str = "python313.zip";
const MANIFEST: &str = "manifest.json";
/// So many compiled forms are kept, of this and other releases; each is some 30 MB, and its images 40.
const TO_KEEP: usize = 32;

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
    program: Program,
    /// What a start begins with that has to do all.
    cold: Arc<Image>,
    /// The image of an interpreter that has started; missing if the artifact cannot make one.
    warm: OnceLock<Arc<Image>>,
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
        let path = |path: Result<PathBuf>| path.is_ok_and(|path| cache::is_kept(&path));
        path(self.compiled_path(engine)) && path(self.cold_path()) && path(self.warm_path())
    }

    fn in_cache(&self, name: &str) -> Result<PathBuf> {
        Ok(cache::dir()?.join("compiled").join(format!("{}{name}", self.key)))
    }

    /// One place per artifact, wasmtime release, configuration and kind of CPU.
    fn compiled_path(&self, engine: &Engine) -> Result<PathBuf> {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut hasher);
        self.in_cache(&format!("-{:016x}.bare.cwasm", hasher.finish()))
    }

    fn cold_path(&self) -> Result<PathBuf> {
        self.in_cache(".image")
    }

    fn warm_path(&self) -> Result<PathBuf> {
        self.in_cache(&format!("-{}.image", cache::hash(snapshot::PRELOAD.as_bytes())))
    }

    fn bad(&self, source: wasmtime::Error) -> Error {
        Error::BadArtifact {
            origin: self.origin.clone(),
            source,
        }
    }
}

impl Python {
    /// Takes the artifact's compiled form and its image from the user's cache, or makes them: compiles the
    /// artifact, and lets it start and hand over its memory.
    ///
    /// # Errors
    /// [`Error::BadArtifact`], [`Error::Cache`].
    pub fn new(engine: &Engine, artifact: &Artifact) -> Result<Python> {
        let bare = || snapshot::bare(&artifact.component()?).map_err(|error| artifact.bad(error));
        let compiled = artifact.compiled_path(engine)?;
        let mut is_new = false;
        cache::keep(&compiled, || {
            is_new = true;
            let compiled = engine.wasmtime().precompile_component(&bare()?.component);
            compiled.map(Cow::Owned).map_err(|error| artifact.bad(error))
        })?;
        let cold = artifact.cold_path()?;
        cache::keep(&cold, || Ok(Cow::Owned(bare()?.memory)))?;
        // SAFETY: compiled code is trusted as this program is. The file lies in a folder that only this
        // user can write, and is as long and as old as when this program wrote it (`cache`).
        let component = unsafe { Component::deserialize_file(engine.wasmtime(), &compiled) };
        let program = component.and_then(|component| Program::new(engine, &component));
        let python = Python {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                artifact: artifact.clone(),
                program: program.map_err(|error| artifact.bad(error))?,
                cold: image(&cold)?,
                warm: OnceLock::new(),
            }),
        };
        if python.inner.program.makes_images {
            let warm = artifact.warm_path()?;
            cache::keep(&warm, || Ok(Cow::Owned(snapshot::make(&python)?)))?;
            let warm = image(&warm)?;
            python.inner.warm.get_or_init(|| warm);
        }
        if let (true, Some(folder)) = (is_new, compiled.parent()) {
            cache::keep_newest(folder, "cwasm", TO_KEEP);
            cache::keep_newest(folder, "image", 2 * TO_KEEP);
        }
        Ok(python)
    }

    /// Another guest, which begins with `image`.
    #[cfg(test)]
    pub(crate) fn in_its_place(engine: &Engine, component: &[u8], image: Arc<Image>) -> Python {
        let component = Component::new(engine.wasmtime(), component).unwrap();
        Python {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                artifact: Artifact {
                    origin: "a test".into(),
                    key: "test".into(),
                    built_in: None,
                    library: env!("CARGO_MANIFEST_DIR").into(),
                },
                program: Program::new(engine, &component).unwrap(),
                cold: image,
                warm: OnceLock::new(),
            }),
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.inner.program
    }

    /// What a sandbox begins with: an interpreter that has started, if it `may_be_warm` and there is one.
    pub(crate) fn image(&self, may_be_warm: bool) -> &Arc<Image> {
        let warm = self.inner.warm.get().filter(|_| may_be_warm);
        warm.unwrap_or(&self.inner.cold)
    }

    /// Where this Python comes from and where its compiled form is, for people.
    pub fn describe(&self) -> String {
        let Inner { engine, artifact, .. } = &*self.inner;
        let path = artifact.compiled_path(engine).unwrap_or_default();
        format!(
            "{} (key {}), compiled: {}",
            artifact.origin,
            artifact.key,
            path.display()
        )
    }

    /// The error for an artifact that turns out not to fit when it runs.
    pub(crate) fn bad(&self, source: wasmtime::Error) -> Error {
        self.inner.artifact.bad(source)
    }

    /// Names all that went into the artifact.
    pub(crate) fn key(&self) -> &str {
        &self.inner.artifact.key
    }

    /// Whether the artifact can make images.
    pub(crate) fn makes_images(&self) -> bool {
        self.inner.program.makes_images
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

/// The image in a file of the cache.
fn image(path: &Path) -> Result<Arc<Image>> {
    let image = fs::File::open(path).and_then(Image::new);
    image.map_err(|source| Error::Cache {
        action: "map",
        path: path.to_owned(),
        source,
    })
}
