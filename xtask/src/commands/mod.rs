//! What the developer says.

mod bench;
mod build;
mod fuzz;
mod python;
mod run;
mod test;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cache::Cache;
use crate::progress::Progress;
use crate::recipe::{Options, Recipe};
use crate::workspace::Workspace;

/// Build, run and test vtwasm.
///
/// Everything that is missing is built first: the compiler for wasm is fetched, CPython and the
/// host are compiled. That takes some ten minutes once; what is finished is kept in $VTWASM_CACHE,
/// $XDG_CACHE_HOME/vtwasm or ~/.cache/vtwasm, and a command that finds all of it starts at once.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "\
Examples:
  cargo xtask run examples/hello_threads.py
  cargo xtask test locks
  cargo xtask python --debug-names"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a Python program in the sandbox
    Run(run::Run),
    /// Build the `vtwasm` program, with Python inside
    Build(build::Build),
    /// Format check, lints, all tests
    Test(test::Test),
    /// The same as `test`, as the continuous integration runs it
    Ci,
    /// Look for inputs that break something
    Fuzz(fuzz::Fuzz),
    /// Measure vtwasm against native Python
    Bench(bench::Bench),
    /// Build and serve the page with Python in the browser
    Web(web::Web),
    /// Build Python for wasm and print its directory
    Python(python::Python),
}

pub fn run(cli: &Cli) -> Result<ExitCode> {
    match &cli.command {
        Command::Run(command) => command.execute(),
        Command::Build(command) => command.execute(),
        Command::Test(command) => command.execute(),
        Command::Ci => test::Test::everything().execute(),
        Command::Fuzz(command) => command.execute(),
        Command::Bench(command) => command.execute(),
        Command::Web(command) => command.execute(),
        Command::Python(command) => command.execute(),
    }
}

/// What every command begins with.
struct Session {
    workspace: Workspace,
    cache: Cache,
    progress: Progress,
    recipe: Recipe,
}

impl Session {
    fn open(options: &Options) -> Result<Self> {
        let workspace = Workspace::this();
        let cache = Cache::from_env()?;
        let progress = Progress::new();
        let recipe = Recipe::new(&workspace, &cache, options, &progress)?;
        Ok(Self {
            workspace,
            cache,
            progress,
            recipe,
        })
    }
}
