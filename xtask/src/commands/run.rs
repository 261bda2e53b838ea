//! `cargo xtask run`: a program in the sandbox.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use super::build::built;
use crate::recipe::Options;

/// Run a Python program in the sandbox: `vtwasm run` with these arguments.
///
/// Flags of vtwasm come before the script, arguments of the script after it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask run examples/hello_threads.py
  cargo xtask run -c 'import threading; print(threading.active_count())'")]
pub struct Run {
    /// What `vtwasm run` takes; `vtwasm run --help` lists it
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "VTWASM ARGUMENTS"
    )]
    arguments: Vec<OsString>,
}

impl Run {
    pub fn execute(&self) -> Result<ExitCode> {
        let built = built(&Options::default())?;
        let mut vtwasm = Command::new(&built.program);
        // In place of this process: signals and the exit code are vtwasm's own.
        let error = vtwasm.arg("run").args(&self.arguments).exec();
        Err(error).with_context(|| format!("starting {}", built.program.display()))
    }
}
