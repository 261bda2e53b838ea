//! `cargo xtask build`: the `vtwasm` program.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use super::Session;
use crate::process::run_visibly;
use crate::recipe::Options;

/// Build the `vtwasm` program, with Python inside, and print its path.
#[derive(Args)]
pub struct Build {
    #[command(flatten)]
    options: Options,
}

impl Build {
    pub fn execute(&self) -> Result<ExitCode> {
        println!("{}", built(&self.options)?.program.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// The finished program and the Python in it.
pub struct Built {
    pub program: PathBuf,
    pub python: PathBuf,
    pub session: Session,
}

/// Builds what is missing of both.
pub fn built(options: &Options) -> Result<Built> {
    let mut session = Session::open(options)?;
    let python = session.recipe.artifact()?.directory;
    let program = session.workspace.target().join("release/vtwasm");
    let mut cargo = cargo(&session, &python);
    cargo.args([
        "build",
        "--release",
        "--package",
        "vtwasm-cli",
        "--features",
        "embed",
    ]);
    // The first build takes minutes and shows it; afterwards cargo has nothing to tell.
    if program.exists() {
        cargo.arg("--quiet");
    }
    run_visibly(&mut cargo)?;
    Ok(Built {
        program,
        python,
        session,
    })
}

/// cargo in the workspace, told where Python for wasm is.
pub fn cargo(session: &Session, python: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(session.workspace.path(""))
        .env("VTWASM_PYTHON", python);
    // What cargo tells of xtask itself is ring's business, too, which would be compiled anew with all that
    // stands on it whenever the one or the other had called cargo last.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"]
            .iter()
            .any(|tells| name.to_string_lossy().starts_with(tells))
        {
            cargo.env_remove(name);
        }
    }
    cargo
}
