//! Other programs, run so that a failure says what to look at.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Error, Result, bail};

/// Where programs of the toolchain are found, and where they write what they say.
pub struct Runner {
    /// Put before the machine's PATH.
    pub path: Vec<PathBuf>,
    /// All output goes here, and is kept when something fails.
    pub log: PathBuf,
}

impl Runner {
    /// A command in `directory` with the runner's PATH, without the variables that would leak a
    /// developer's settings into the build.
    pub fn command(&self, program: impl AsRef<OsStr>, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).stdin(Stdio::null());
        for name in [
            "CFLAGS",
            "CPPFLAGS",
            "LDFLAGS",
            "CC",
            "CPP",
            "MAKEFLAGS",
            "PYTHONPATH",
        ] {
            command.env_remove(name);
        }
        let mut path = self.path.clone();
        path.extend(std::env::split_paths(
            &std::env::var_os("PATH").unwrap_or_default(),
        ));
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            // Sets are marshalled in the order of their hashes: the same source, the same bytes.
            .env("PYTHONHASHSEED", "0")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs it to its end. On failure the error shows the end of its output.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        let status = command
            .status()
            .with_context(|| format!("starting `{}`", name(command)))?;
        if !status.success() {
            bail!(
                "`{}` failed ({status}); the end of {}:\n{}",
                name(command),
                self.log.display(),
                tail(&self.log, 25)
            );
        }
        Ok(())
    }
}

/// Runs it to its end and returns what it wrote to stdout.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting `{}`", name(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed ({}): {}",
            name(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it with the terminal that we have; fails when it fails.
pub fn run_visibly(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting `{}`", name(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", name(command));
    }
    Ok(())
}

/// The program on PATH, if it is there.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// Adds what to do when the reason is a full disk, which programs report in many ways.
pub fn explain_full_disk(error: Error, directory: &Path) -> Error {
    let told = format!("{error:#}").contains("No space left on device");
    let free = free_mib(directory);
    if !told && free.is_none_or(|free| free > 16) {
        return error;
    }
    let free = free.unwrap_or(0);
    anyhow::anyhow!(
        "{error:#}\n\
         the disk under {} is full ({free} MiB free)\n\
         hint: make room (all stages together take about 2 GiB) or set VTWASM_CACHE to another disk; \
         what was finished before is kept",
        directory.display()
    )
}

fn free_mib(directory: &Path) -> Option<u64> {
    let table = output(Command::new("df").args(["-Pk"]).arg(directory)).ok()?;
    let kib: u64 = table.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    Some(kib / 1024)
}

/// For messages: the program and its first argument.
pub fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or_default().to_string_lossy();
    let first = command
        .get_args()
        .next()
        .map(|argument| argument.to_string_lossy());
    format!("{program} {}", first.unwrap_or_default())
        .trim()
        .to_owned()
}

fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all[from..]
        .iter()
        .map(|line| format!("    {}", line.chars().take(240).collect::<String>()))
        .collect::<Vec<_>>()
        .join("\n")
}
