//! The developer's commands: `cargo xtask --help`.
//!
//! # Layout
//! `commands` are what the developer says; `recipe` makes Python for wasm, stage by stage;
//! `packages` brings Debian's packages here; `cache` keeps what is finished. `process`, `progress`
//! and `workspace` serve them all.

mod cache;
mod commands;
mod packages;
mod process;
mod progress;
mod recipe;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(&commands::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
