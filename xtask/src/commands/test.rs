//! `cargo xtask test`: everything that must hold before a change lands.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Args;

use super::build::{Built, built, cargo};
use crate::process::run_visibly;
use crate::recipe::Options;

/// Format check, lints, all tests; closes with the line `N passed, N failed`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test sleeping_fiber")]
pub struct Test {
    /// Only tests whose names contain this; skips the checks of format and lints
    filter: Option<String>,
}

impl Test {
    /// What the continuous integration runs.
    pub fn everything() -> Self {
        Self { filter: None }
    }

    pub fn execute(&self) -> Result<ExitCode> {
        if self.filter.is_none() {
            check_style()?;
        }
        let built = built(&Options::default())?;
        let tally = self.cargo_test(&built)?;
        println!("{} passed, {} failed", tally.passed, tally.failed);
        let fine = tally.failed == 0 && tally.succeeded;
        Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Runs all test programs, showing what they say, and adds up their closing lines.
    fn cargo_test(&self, built: &Built) -> Result<Tally> {
        let mut command = cargo(&built.session, &built.python);
        command
            .args(["test", "--workspace", "--release", "--no-fail-fast"])
            .args(["--features", "vtwasm-cli/embed"])
            .args(&self.filter)
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("starting cargo test")?;
        let mut tally = Tally::default();
        for line in BufReader::new(child.stdout.take().expect("stdout is piped")).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.add(&line);
        }
        tally.succeeded = child.wait()?.success();
        Ok(tally)
    }
}

fn check_style() -> Result<()> {
    let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    run_visibly(cargo().args(["fmt", "--all", "--check"]))?;
    run_visibly(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--release",
        "--quiet",
        "--",
        "--deny=warnings",
    ]))
}

/// The sum over all test programs.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    succeeded: bool,
}

impl Tally {
    /// Takes in a line like `test result: ok. 3 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(counts) = line.trim_start().strip_prefix("test result: ") else { return };
        for count in counts.split([';', '.']) {
            match count.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_lines_of_several_test_programs_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add("test a_line_about_4_passed ... ok");
        tally.add("test result: FAILED. 2 passed; 5 failed; 0 ignored; finished in 0.1s");
        assert_eq!(tally, Tally { passed: 5, failed: 5, succeeded: false });
    }
}
