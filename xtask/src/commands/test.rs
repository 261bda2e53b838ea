//! `cargo xtask test`: everything that must hold before a change lands.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, iter, thread};

use anyhow::{Context, Result};
use clap::Args;

use super::build::{Built, built, cargo};
use super::web::Tools;
use crate::process::{name, run_visibly};
use crate::recipe::Options;

/// The modules of CPython's tests that the scoreboard knows, one per line.
const MODULES: &str = "tests/conformance/modules.txt";

/// So many of a program's last lines on stderr tell how it ended; in a long log they are far above its end.
const LAST_WORDS: usize = 12;

/// Always the same selection: another would ask for other features, and so compile much anew.
pub const PRODUCT: [&str; 4] = [
    "--package=vtwasm",
    "--package=vtwasm-cli",
    "--features=vtwasm-cli/embed",
    "--release",
];

/// Format check, lints, all tests; closes with the line `N passed, N failed`.
///
/// All tests are those of cargo, the programs of tests/programs among them, those of guest/tests inside
/// vtwasm, libraries against real servers (tests/peers), those of web/ in Chromium, CPython's own, and those
/// of the scoreboard that runs these.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask test
  cargo xtask test sleeping_fiber
  cargo xtask test peers::postgresql
  cargo xtask test web::page
  cargo xtask test test_threading
  cargo xtask test --native test_socket")]
pub struct Test {
    /// Only tests whose names contain this (of guest/tests, the file's name), or this module of
    /// CPython's tests
    filter: Option<String>,

    /// Only CPython's tests, all modules or the one named, and the same on native Python beside them:
    /// what passes there and not here
    #[arg(long)]
    native: bool,
}

impl Test {
    /// What the continuous integration runs.
    pub fn everything() -> Self {
        Self {
            filter: None,
            native: false,
        }
    }

    pub fn execute(&self) -> Result<ExitCode> {
        if self.native {
            return self.compare();
        }
        if self.filter.is_none() {
            check_format()?;
        }
        let mut built = built(&Options::default())?;
        if self.filter.is_none() {
            check_lints(&built)?;
        }
        let mut tally = Tally::default();
        if !self.is_module(&built)? {
            if self.filter.is_none() || self.part("peers").or(self.part("web")).is_none() {
                for mut command in self.cargo_tests(&mut built)? {
                    run_tests(&mut command, &mut tally)?;
                }
            }
            for mut command in self.scripts(&mut built)? {
                run_tests(&mut command, &mut tally)?;
            }
        }
        if self.filter.is_none() || self.is_module(&built)? {
            run_tests(&mut self.scoreboard(&built), &mut tally)?;
        }
        for failure in &tally.failures {
            println!("{failure}");
        }
        println!("{} passed, {} failed", tally.passed, tally.failed);
        Ok(if tally.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// The scoreboard, of vtwasm and of native Python in one run.
    fn compare(&self) -> Result<ExitCode> {
        let mut built = built(&Options::default())?;
        let native = built.session.recipe.native()?;
        let status = self
            .scoreboard(&built)
            .arg("--native")
            .arg(native)
            .status()
            .context("starting the tests")?;
        Ok(if status.success() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// Whether the filter is a module of CPython's tests.
    fn is_module(&self, built: &Built) -> Result<bool> {
        let Some(filter) = &self.filter else {
            return Ok(false);
        };
        let path = built.session.workspace.path(MODULES);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text
            .lines()
            .any(|line| line.split_whitespace().next() == Some(filter)))
    }

    /// The product and its developer's commands apart: together they would ask for other features of
    /// wasmtime's libraries than the build does, and so compile all of them once more.
    fn cargo_tests(&self, built: &mut Built) -> Result<[Command; 2]> {
        // The tests of the job runner find PostgreSQL here, and those of packages pip, where the machine has
        // neither uv nor pip.
        let mut path = env::var_os("PATH").unwrap_or_default();
        path.push(":");
        path.push(built.session.recipe.peers()?.join("bin"));
        let product = [PRODUCT.as_slice(), &["--package=vtwasm-server"]].concat();
        Ok([product.as_slice(), &["--package=xtask"]].map(|arguments| {
            let mut command = cargo(&built.session, &built.python);
            command
                .env("PATH", &path)
                .args(["test", "--no-fail-fast"])
                .args(arguments)
                .args(&self.filter);
            command
        }))
    }

    /// The tests that count themselves: the POSIX layer's, of deep recursion, and the scoreboard's own.
    fn scripts(&self, built: &mut Built) -> Result<Vec<Command>> {
        let wanted = |name: &str| self.filter.as_ref().is_none_or(|filter| name.contains(filter));
        let mut commands = Vec::new();
        if wanted("posix") {
            let mut posix = Command::new(&built.program);
            // In Python's place; it takes no arguments.
            posix.env("VTWASM_PYTHON", built.session.recipe.posix()?);
            posix.args(["run", "-c", ""]);
            commands.push(posix);
        }
        let workspace = &built.session.workspace;
        if wanted("recursion_paths") {
            let mut recursion = Command::new(&built.program);
            recursion
                .arg("run")
                .arg(workspace.path("guest/tests/recursion_paths.py"));
            commands.push(recursion);
        }
        if let Some(filter) = self.part("peers") {
            let mut peers = Command::new("python3");
            peers
                .arg(workspace.path("tests/peers/run.py"))
                .arg("--vtwasm")
                .arg(&built.program)
                .arg("--peers")
                .arg(built.session.recipe.peers()?)
                .arg(filter);
            commands.push(peers);
        }
        if wanted("selftest") {
            let mut selftest = Command::new("python3");
            selftest.arg(workspace.path("tests/conformance/selftest.py"));
            commands.push(selftest);
        }
        if let Some(filter) = self.part("web") {
            commands.push(self.web(built, filter)?);
        }
        Ok(commands)
    }

    /// What of a part with a filter of its own is asked for, if anything: `peers` is all of tests/peers,
    /// `web::page` the test/page.test.ts of web/.
    fn part(&self, name: &str) -> Option<&str> {
        match &self.filter {
            None => Some(""),
            Some(filter) if filter == name => Some(""),
            Some(filter) => filter.strip_prefix(name)?.strip_prefix("::"),
        }
    }

    /// The tests of web/, in Chromium.
    fn web(&self, built: &mut Built, filter: &str) -> Result<Command> {
        let tools = Tools::ready(&mut built.session, &built.python)?;
        tools.build()?;
        let mut tests = tools.tests(built)?;
        tests.args(["run", "--root=."]);
        if !filter.is_empty() {
            tests.arg(filter);
        }
        Ok(tests)
    }

    /// CPython's own tests, inside vtwasm.
    fn scoreboard(&self, built: &Built) -> Command {
        let mut command = Command::new("python3");
        command
            .arg(built.session.workspace.path("tests/conformance/scoreboard.py"))
            .arg("--vtwasm")
            .arg(&built.program)
            .arg("--python")
            .arg(&built.python)
            .arg("--lib")
            .arg(built.session.recipe.library())
            .args(&self.filter);
        command
    }
}

/// Runs tests, showing what they say, and adds their closing lines up.
fn run_tests(command: &mut Command, tally: &mut Tally) -> Result<()> {
    let before = tally.failed;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the tests")?;
    let stderr = child.stderr.take().expect("stderr is piped");
    let (sender, errors) = mpsc::channel();
    thread::spawn(move || show_errors(stderr, &sender));
    for line in BufReader::new(child.stdout.take().expect("stdout is piped")).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        tally.add(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        // A program of tests may as well crash when all of them are through.
        tally.failed = tally.failed.max(before + 1);
        let name = name(command);
        tally
            .failures
            .push(format!("\n`{name}` failed ({status}); its last errors:"));
        // What a test has left behind may hold stderr open for ever.
        let said: Vec<_> = iter::from_fn(|| errors.recv_timeout(Duration::from_secs(1)).ok()).collect();
        tally
            .failures
            .extend_from_slice(&said[said.len().saturating_sub(LAST_WORDS)..]);
    }
    Ok(())
}

/// Shows what a program says on stderr, and keeps it.
fn show_errors(stderr: ChildStderr, kept: &mpsc::Sender<String>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        eprintln!("{line}");
        // Nobody wants them any more when all went well.
        let _ = kept.send(line);
    }
}

fn check_format() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run_visibly(Command::new(cargo).args(["fmt", "--all", "--check"]))
}

/// The lints, of what is built by default and of what ships.
fn check_lints(built: &Built) -> Result<()> {
    for selection in [
        &["--workspace"][..],
        &["--package", "vtwasm-cli", "--features", "embed"],
    ] {
        let mut clippy = cargo(&built.session, &built.python);
        clippy
            .args(["clippy", "--release", "--quiet", "--all-targets"])
            .args(selection);
        run_visibly(clippy.args(["--", "--deny=warnings"]))?;
    }
    let mut doc = cargo(&built.session, &built.python);
    doc.args(["doc", "--release", "--quiet", "--no-deps"])
        .args(["--package", "vtwasm", "--package", "vtwasm-server"])
        .env("RUSTDOCFLAGS", "--deny=warnings");
    run_visibly(&mut doc)
}

/// The sum over all test programs.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Named once more at the end, which a long log may be cut to.
    failures: Vec<String>,
}

impl Tally {
    /// Takes in cargo's `test result: ok. 3 passed; 0 failed; …` or the others' `3 passed, 0 failed`
    /// with whatever follows.
    fn add(&mut self, line: &str) {
        let counts = line.trim();
        if counts.starts_with("test ") && counts.ends_with(" ... FAILED") {
            self.failures.push(counts.to_owned());
        }
        let plain = counts.starts_with(|first: char| first.is_ascii_digit())
            && counts.contains(" passed, ")
            && counts.contains(" failed");
        if !plain && !counts.starts_with("test result: ") {
            return;
        }
        for count in counts.split([';', '.', ',']) {
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
    fn a_program_that_crashes_after_its_last_test_is_a_failure_and_named() {
        let mut tally = Tally::default();
        let mut crashing = Command::new("sh");
        crashing.args([
            "-c",
            "echo 2 passed, 0 failed; echo how it ended >&2; kill -SEGV $$",
        ]);
        run_tests(&mut crashing, &mut tally).unwrap();
        assert_eq!((tally.passed, tally.failed), (2, 1));
        assert!(tally.failures[0].contains("SIGSEGV"), "{:?}", tally.failures);
        assert_eq!(tally.failures[1], "how it ended");
    }

    #[test]
    fn what_a_test_leaves_behind_is_not_waited_for() {
        let begin = std::time::Instant::now();
        let mut failing = Command::new("sh");
        failing.args(["-c", "sleep 30 >&- & echo how it ended >&2; exit 1"]);
        let mut tally = Tally::default();
        run_tests(&mut failing, &mut tally).unwrap();
        assert!(begin.elapsed() < Duration::from_secs(20));
        assert_eq!(tally.failures[1], "how it ended");
    }

    #[test]
    fn the_closing_lines_of_several_test_programs_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out");
        tally.add("test a_line_about_4_passed ... ok");
        tally.add("test result: FAILED. 2 passed; 5 failed; 0 ignored; finished in 0.1s");
        tally.add("100 passed, 1 failed, 7 skipped");
        tally.add("3 known failures (each with its reason in known_failures.txt)");
        assert_eq!(
            tally,
            Tally {
                passed: 105,
                failed: 6,
                failures: Vec::new()
            }
        );
    }
}
