//! How CPython for wasm is made.
//!
//! # Layout
//! Each stage has a file that says what goes into it (`key`) and how it is made (`build`):
//!
//! ```text
//! tools ─ toolchain ─── libraries, openssl ─┐
//!   └─ source ─ helper ─ patched ───────────┴─ configured ─ objects ─ stdlib ─ python
//!         └─ native (only for benchmarks)
//! ```
//!
//! - `tools`: make, patch and the like, where the machine lacks them
//! - `toolchain`: clang and the C library for wasm
//! - `libraries`: zlib, bzip2, xz and sqlite3 for wasm; `openssl`: that
//! - `source`: CPython's source with Debian's corrections
//! - `helper`: the same Python for this machine, as small as can be; it freezes and compiles modules
//! - `patched`: the source with this project's patches
//! - `configured`, `objects`: CPython's own build, stopped before it links; `profile` says which of
//!   its branches are taken, `hot` optimises what most programs spend their time in
//! - `stdlib`: the zip that Python imports from
//! - `python`: guest/ linked to it all, as a core module and as a component; that has `checks` in it
//! - `posix`: guest/ linked to its test alone (only for tests)
//! - `peers`: servers that the tests talk to (only for tests)
//! - `node`, `npm`: Node and web/'s packages (only for web/); `browser`: Chromium, for its tests
//! - `fuzz`: libFuzzer (only for `cargo xtask fuzz`)

mod browser;
mod checks;
mod component;
mod configured;
mod fuzz;
mod helper;
mod hot;
mod libraries;
mod native;
mod node;
mod npm;
mod objects;
mod openssl;
mod patched;
mod peers;
mod plan;
mod posix;
mod profile;
mod python;
mod source;
mod stdlib;
mod toolchain;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache::{BuildLock, Cache, Key};
use crate::packages::Packages;
use crate::process::Runner;
use crate::progress::Progress;
use crate::workspace::Workspace;
pub use plan::{Plan, Stage};

/// What the developer can choose. All of it goes into the keys.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// CPython's source, a directory or a tarball, instead of Debian's package
    #[arg(long, value_name = "DIR|TARBALL")]
    pub source: Option<PathBuf>,
    /// A directory with files that would be downloaded otherwise
    #[arg(long, value_name = "DIR", env = "VTWASM_DOWNLOADS")]
    pub downloads: Option<PathBuf>,
    /// Keep the name section in python.core.wasm and python.wasm, for profilers
    #[arg(long)]
    pub debug_names: bool,
    /// Count how often each branch is taken (see `profile`)
    #[arg(skip)]
    pub instrumented: bool,
}

/// A finished artifact.
pub struct Artifact {
    /// Holds python.wasm, python.core.wasm, python313.zip and manifest.json.
    pub directory: PathBuf,
}

/// Everything that the stages share.
pub struct Recipe {
    workspace: Workspace,
    cache: Cache,
    options: Options,
    packages: Packages,
    plan: Plan,
    progress: Progress,
}

impl Recipe {
    pub fn new(workspace: &Workspace, cache: &Cache, options: &Options, progress: &Progress) -> Result<Self> {
        let lock = workspace.recipe().join("packages.lock");
        let packages = Packages::open(&lock, cache, options.downloads.clone(), progress)?;
        let plan = Plan::new(workspace, options, &packages)?;
        Ok(Self {
            workspace: workspace.clone(),
            cache: cache.clone(),
            options: options.clone(),
            packages,
            plan,
            progress: progress.clone(),
        })
    }

    /// The artifact, built as far as it is not there yet.
    pub fn artifact(&mut self) -> Result<Artifact> {
        if let Some(artifact) = self.finished() {
            return Ok(artifact);
        }
        let lock = BuildLock::take(&self.cache, &self.progress)?;
        self.download(Stage::Python)?;
        self.ensure(&lock, Stage::Tools)?;
        std::thread::scope(|scope| {
            let compiler = scope.spawn(|| {
                self.ensure(&lock, Stage::Toolchain)?;
                self.ensure(&lock, Stage::Libraries)?;
                self.ensure(&lock, Stage::Openssl)
            });
            let sources = self
                .ensure(&lock, Stage::Source)
                .and_then(|_| self.ensure(&lock, Stage::Helper))
                .and_then(|_| self.ensure(&lock, Stage::Patched));
            compiler.join().expect("a stage does not panic").and(sources)
        })?;
        for stage in [Stage::Configured, Stage::Objects, Stage::Stdlib, Stage::Python] {
            self.ensure(&lock, stage)?;
        }
        self.finished().context("the artifact vanished from the cache")
    }

    /// The native Python for benchmarks: the program's path.
    pub fn native(&mut self) -> Result<PathBuf> {
        Ok(native::program(&self.beside(Stage::Native)?))
    }

    /// The test of the POSIX layer, an artifact without Python: its directory.
    pub fn posix(&mut self) -> Result<PathBuf> {
        self.beside(Stage::Posix)
    }

    /// The servers that tests talk to: a directory with `bin/`.
    pub fn peers(&mut self) -> Result<PathBuf> {
        self.beside(Stage::Peers)
    }

    /// What web/ is built with: the folders of Node's programs and of npm's packages.
    pub fn web(&mut self) -> Result<(PathBuf, PathBuf)> {
        let node = self.beside(Stage::Node)?;
        let packages = self.beside(Stage::Npm)?;
        Ok((node.join("bin"), packages.join("node_modules")))
    }

    /// The program Chromium.
    pub fn browser(&mut self) -> Result<PathBuf> {
        match browser::own() {
            Some(program) => Ok(program),
            None => Ok(self.beside(Stage::Browser)?.join("bin").join(browser::PROGRAM)),
        }
    }

    /// libFuzzer, to be linked.
    pub fn fuzzer(&mut self) -> Result<PathBuf> {
        Ok(fuzz::library(&self.beside(Stage::Fuzz)?))
    }

    /// Runs the training on this recipe's instrumented artifact, in the sandbox of the program
    /// `vtwasm`, and returns where the new profile is.
    pub fn renew_profile(&mut self, vtwasm: &Path) -> Result<PathBuf> {
        let python = self.artifact()?.directory;
        self.packages.obtain(&profile::packages())?;
        profile::renew(self, vtwasm, &python)
    }

    /// The entry of a stage that is no part of the artifact.
    fn beside(&mut self, target: Stage) -> Result<PathBuf> {
        if !self.found(target) {
            let lock = BuildLock::take(&self.cache, &self.progress)?;
            self.download(target)?;
            for stage in self.plan.stages_for(target) {
                self.ensure(&lock, stage)?;
            }
        }
        Ok(self.entry(target))
    }

    /// The `Lib` directory of the source that the artifact was built from; it holds CPython's tests.
    pub fn library(&self) -> PathBuf {
        source::tree(&self.entry(Stage::Patched)).join("Lib")
    }

    /// Removes what this plan does not need. Returns what was removed.
    pub fn prune(&self) -> Result<Vec<PathBuf>> {
        let _lock = BuildLock::take(&self.cache, &self.progress)?;
        let mut removed = Vec::new();
        for stage in Stage::ALL {
            let keep = self.entry(stage);
            let entries = fs::read_dir(self.cache.root().join(stage.name()));
            for path in entries.into_iter().flatten().flatten().map(|entry| entry.path()) {
                if path != keep {
                    fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
                    removed.push(path);
                }
            }
        }
        Ok(removed)
    }

    fn finished(&self) -> Option<Artifact> {
        // The tests of CPython stand in the source, which the artifact's manifest points to.
        let tests = patched::test_directory(&self.entry(Stage::Patched));
        let found = self.found(Stage::Python) && tests.join("__init__.py").is_file();
        found.then(|| Artifact {
            directory: self.entry(Stage::Python),
        })
    }

    /// Brings the packages of all stages here that `target` needs and that are not made yet. If a
    /// version has to be substituted, the plan changes, and other packages may be wanted.
    fn download(&mut self, target: Stage) -> Result<()> {
        loop {
            let missing = self.plan.stages_for(target).filter(|&stage| !self.found(stage));
            let wanted: Vec<&str> = missing.flat_map(|stage| self.packages_of(stage)).collect();
            if !self.packages.obtain(&wanted)? {
                return Ok(());
            }
            self.plan = Plan::new(&self.workspace, &self.options, &self.packages)?;
        }
    }

    fn packages_of(&self, stage: Stage) -> Vec<&'static str> {
        match stage {
            Stage::Tools => tools::packages(),
            Stage::Toolchain => toolchain::packages(),
            Stage::Libraries => libraries::packages(),
            Stage::Openssl => openssl::packages(),
            Stage::Source => source::packages(&self.options),
            Stage::Peers => peers::packages(),
            Stage::Node => node::packages(),
            Stage::Browser => browser::packages(),
            Stage::Fuzz => fuzz::packages(),
            _ => Vec::new(),
        }
    }

    fn ensure(&self, lock: &BuildLock, stage: Stage) -> Result<PathBuf> {
        let key = self.plan.key(stage);
        self.cache
            .ensure(lock, stage.name(), key, &self.progress, |directory| match stage {
                Stage::Tools => tools::build(self, directory),
                Stage::Toolchain => toolchain::build(self, directory),
                Stage::Libraries => libraries::build(self, directory),
                Stage::Openssl => openssl::build(self, directory),
                Stage::Source => source::build(self, directory),
                Stage::Helper => helper::build(self, directory),
                Stage::Patched => patched::build(self, directory),
                Stage::Configured => configured::build(self, directory),
                Stage::Objects => objects::build(self, directory),
                Stage::Stdlib => stdlib::build(self, directory),
                Stage::Python => python::build(self, directory),
                Stage::Native => native::build(self, directory),
                Stage::Posix => posix::build(self, directory),
                Stage::Peers => peers::build(self, directory),
                Stage::Node => node::build(self, directory),
                Stage::Npm => npm::build(self, directory),
                Stage::Browser => browser::build(self, directory),
                Stage::Fuzz => fuzz::build(self, directory),
            })
    }

    fn key(&self, stage: Stage) -> &Key {
        self.plan.key(stage)
    }

    fn found(&self, stage: Stage) -> bool {
        self.cache.find(stage.name(), self.key(stage)).is_some()
    }

    /// Where the stage's entry stands.
    fn entry(&self, stage: Stage) -> PathBuf {
        self.cache.path(stage.name(), self.key(stage))
    }

    /// A runner for one stage, with an empty log of its own.
    fn runner(&self, name: &str) -> Result<Runner> {
        let log = self.cache.directory("logs")?.join(format!("{name}.log"));
        fs::write(&log, "").with_context(|| format!("writing {}", log.display()))?;
        let path = [Stage::Tools, Stage::Toolchain, Stage::Node]
            .map(|stage| self.entry(stage).join("bin"))
            .to_vec();
        Ok(Runner { path, log })
    }
}

/// How many jobs make may run.
fn jobs() -> String {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    format!("-j{cores}")
}

/// A path of one entry as seen from a directory inside another, so that no build records where the
/// cache stands. `depth` is how far `from` is below the cache's root.
fn relative(cache: &Cache, depth: usize, target: &Path) -> Result<PathBuf> {
    let below = target.strip_prefix(cache.root())?;
    Ok(std::iter::repeat_n("..", depth).collect::<PathBuf>().join(below))
}
