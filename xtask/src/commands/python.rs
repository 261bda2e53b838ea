//! `cargo xtask python`: the recipe by itself.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::Session;
use super::build::built;
use crate::cache::BuildLock;
use crate::packages::Packages;
use crate::recipe::{Options, Stage};

/// Build Python for wasm and print its directory.
///
/// The directory holds python.wasm (for wasmtime), python.core.wasm (for browsers), python313.zip
/// (the standard library) and manifest.json. With WASI_SDK_PATH set, that SDK's compiler is used
/// instead of Debian's.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask python
  cargo xtask python --source ~/Python-3.14.0.tar.xz
  VTWASM_DOWNLOADS=/media/usb cargo xtask python")]
pub struct Python {
    #[command(flatten)]
    options: Options,
    /// Build CPython for this machine at -O3 instead, and print the program's path
    #[arg(long, conflicts_with_all = ["update_lock", "verify", "prune", "profile"])]
    native: bool,
    /// Run python-wasm/train.py and write how it went to python-wasm/python.profdata.xz: CPython is
    /// compiled by it
    #[arg(long, conflicts_with_all = ["update_lock", "verify", "prune"])]
    profile: bool,
    /// Write the newest signed versions of all packages to python-wasm/packages.lock
    #[arg(long, conflicts_with_all = ["verify", "prune"])]
    update_lock: bool,
    /// Read all files in the cache, compare them with their checksums, rebuild what is damaged
    #[arg(long)]
    verify: bool,
    /// Remove what earlier versions left in the cache
    #[arg(long)]
    prune: bool,
}

impl Python {
    pub fn execute(&self) -> Result<ExitCode> {
        if self.update_lock {
            return self.update_lock();
        }
        if self.profile {
            return self.renew_profile();
        }
        let mut session = Session::open(&self.options)?;
        if self.verify {
            verify(&session)?;
        }
        if self.prune {
            for path in session.recipe.prune()? {
                session.progress.note(&format!("removed {}", path.display()));
            }
        }
        let made = if self.native {
            session.recipe.native()?
        } else {
            session.recipe.artifact()?.directory
        };
        println!("{}", made.display());
        Ok(ExitCode::SUCCESS)
    }

    fn renew_profile(&self) -> Result<ExitCode> {
        let program = built(&self.options)?.program;
        let mut options = self.options.clone();
        options.instrumented = true;
        let mut session = Session::open(&options)?;
        println!("{}", session.recipe.renew_profile(&program)?.display());
        Ok(ExitCode::SUCCESS)
    }

    fn update_lock(&self) -> Result<ExitCode> {
        let workspace = crate::workspace::Workspace::this();
        let cache = crate::cache::Cache::from_env()?;
        let progress = crate::progress::Progress::new();
        let lock = workspace.recipe().join("packages.lock");
        let downloads = self.options.downloads.clone();
        Packages::open(&lock, &cache, downloads, &progress)?.update_lock(&lock)?;
        progress.note(&format!("wrote {}", lock.display()));
        Ok(ExitCode::SUCCESS)
    }
}

fn verify(session: &Session) -> Result<()> {
    let lock = BuildLock::take(&session.cache, &session.progress)?;
    let step = session.progress.start("verify");
    let result = session.cache.verify(&lock, &Stage::ALL.map(Stage::name));
    step.finish(result.is_ok());
    let (whole, removed) = result?;
    session.progress.note(&format!(
        "{whole} entries are whole, {} were damaged",
        removed.len()
    ));
    for path in removed {
        session.progress.note(&format!("removed {}", path.display()));
    }
    Ok(())
}
