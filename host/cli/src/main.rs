//! The `vtwasm` command: Python programs in a sandbox, every `threading.Thread` on a fiber.
//!
//! # Layout
//! `options` (with `python_flags`) is the command line as it is written; `program` and
//! `permissions` and `network` decide what it means; `artifact` finds the Python to run and `wheels` its
//! packages; `run` joins them into a sandbox and tells how it ended, with `signals` beside it;
//! `snapshot` makes what it may start from; `serve` is the service that runs jobs, with `storage` for their files, `jobs` asks one; `doctor` tells what is in use; `failure` is how errors reach people; `units` reads sizes and durations.

mod artifact;
mod doctor;
mod failure;
mod jobs;
mod network;
mod options;
mod permissions;
mod program;
mod python_flags;
mod run;
mod serve;
mod signals;
mod snapshot;
mod storage;
mod units;
mod wheels;

use clap::Parser;

use options::{Cli, Command};

fn main() -> ! {
    let result = match Cli::parse().command {
        Command::Run(options) => run::run(&options),
        Command::Snapshot(options) => snapshot::snapshot(&options),
        Command::Serve(options) => serve::serve(&options),
        Command::Job(options) => jobs::job(&options),
        Command::Tenant(options) => jobs::tenant(&options),
        Command::File(options) => jobs::file(&options),
        Command::Schedule(options) => jobs::schedule(&options),
        Command::Secret(options) => jobs::secret(&options),
        Command::Doctor => doctor::doctor(),
    };
    let code = result.unwrap_or_else(|error| failure::report(&error));
    // Not a return: a thread that still waits for stdin would hold the process back.
    std::process::exit(code.into())
}
