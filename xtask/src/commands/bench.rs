//! `cargo xtask bench`: vtwasm against native Python.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Args;

use super::build::{built, cargo};
use crate::process::run_visibly;
use crate::recipe::Options;

/// Measure vtwasm against native Python: `bench/run.py` with these arguments.
///
/// The same CPython is built for this machine at -O3 first, if it is not there yet.
#[derive(Args)]
pub struct Bench {
    /// What bench/run.py takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

impl Bench {
    pub fn execute(&self) -> Result<ExitCode> {
        let mut built = built(&Options::default())?;
        let native = built.session.recipe.native()?;
        let peers = built.session.recipe.peers()?;
        // The selection of the program's own build, so that nothing is compiled twice.
        run_visibly(cargo(&built.session, &built.python).args([
            "build",
            "--quiet",
            "--release",
            "--package=vtwasm",
            "--package=vtwasm-cli",
            "--features=vtwasm-cli/embed",
            "--example=start",
            "--example=idle",
            "--example=host_calls",
            "--example=fair",
            "--example=cancel",
        ]))?;
        run_visibly(
            Command::new("python3")
                .arg(built.session.workspace.path("bench/run.py"))
                .args(&self.arguments)
                .env("VTWASM", &built.program)
                .env("VTWASM_EXAMPLES", built.program.with_file_name("examples"))
                .env("VTWASM_ARTIFACT", &built.python)
                .env("VTWASM_PEERS", peers)
                .env("NATIVE_PYTHON", native),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
