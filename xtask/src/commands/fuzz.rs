//! `cargo xtask fuzz`: looks for inputs that break something.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::Session;
use super::build::cargo;
use super::test::PRODUCT;
use crate::process::run_visibly;
use crate::recipe::Options;

/// Look for inputs that break what takes bytes from outside, guided by coverage (libFuzzer).
///
/// What is found lies in target/fuzz/TARGET and is the start of the next time. Several targets may run
/// beside each other. `cargo xtask test` tries the inputs in tests/fuzz and some thousand more.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask fuzz values --time 60
  nice -n 19 cargo xtask fuzz snapshots --time 3600
  cargo xtask fuzz imports target/fuzz/imports/crash-0f3a…   # once more
  cargo xtask fuzz imports --reduce                         # renews tests/fuzz/imports")]
pub struct Fuzz {
    /// What to feed
    target: Target,
    /// Stop after so many seconds; at the first failure otherwise
    #[arg(long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Write the smallest inputs that reach all that was ever reached to tests/fuzz/TARGET
    #[arg(long, conflicts_with_all = ["time", "inputs"])]
    reduce: bool,
    /// Only these inputs
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Target {
    /// Any calls of the host's functions by a guest that has lost its mind
    Imports,
    /// Files of snapshots
    Snapshots,
    /// Values between Python and host functions
    Values,
}

impl Fuzz {
    pub fn execute(&self) -> Result<ExitCode> {
        let name = self
            .target
            .to_possible_value()
            .context("every target has a name")?;
        let name = name.get_name();
        let mut session = Session::open(&Options::default())?;
        let program = program(&mut session)?;
        let scripts = session.workspace.path("tests/fuzz");
        let kept = scripts.join(name);
        let folder = session.workspace.target().join("fuzz").join(name);
        let found = folder.join("corpus");
        fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        let mut fuzzer = Command::new(scripts.join("run.sh"));
        fuzzer
            .env("VTWASM_FUZZ_TARGET", name)
            .env("VTWASM_FUZZ_PROGRAM", program)
            .args([
                "-timeout=60",
                "-rss_limit_mb=2048",
                "-use_value_profile=1",
                "-print_final_stats=1",
            ])
            .arg(format!("-artifact_prefix={}/", folder.display()));
        if self.reduce {
            let reduced = folder.join("reduced");
            fs::create_dir(&reduced).with_context(|| format!("making {}", reduced.display()))?;
            // By what is reached alone: the compared values would keep thousands.
            fuzzer.args(["-merge=1", "-use_value_profile=0"]);
            run_visibly(fuzzer.args([&reduced, &kept, &found]))?;
            fs::remove_dir_all(&kept)?;
            copy(&reduced, &kept)?;
            fs::remove_dir_all(&reduced)?;
            return Ok(ExitCode::SUCCESS);
        }
        match &self.inputs[..] {
            [] => fuzzer.args([&found, &kept]),
            inputs => fuzzer.args(inputs),
        };
        if let Some(time) = self.time {
            fuzzer.arg(format!("-max_total_time={time}"));
        }
        let status = fuzzer.status().context("starting the fuzzer")?;
        if !status.success() {
            bail!(
                "{status}: the input lies in {}\nhint: `cargo xtask fuzz {name} FILE` tries it once more; when \
                 it is mended, keep it in tests/fuzz/{name}",
                folder.display()
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The library's test program, compiled with counters: only the crate itself, see `rustc.sh`.
fn program(session: &mut Session) -> Result<PathBuf> {
    let python = session.recipe.artifact()?.directory;
    let library = session.recipe.fuzzer()?;
    let mut cargo = cargo(session, &python);
    cargo
        .env(
            "RUSTC_WORKSPACE_WRAPPER",
            session.workspace.path("tests/fuzz/rustc.sh"),
        )
        .env("VTWASM_FUZZ_LIBRARY", library)
        .args([
            "test",
            "--lib",
            "--no-run",
            "--message-format=json-render-diagnostics",
        ])
        .args(PRODUCT)
        .stderr(Stdio::inherit());
    let output = cargo.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("the fuzzer does not compile");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    executables.next_back().context("cargo named no program")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
