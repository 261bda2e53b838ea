//! Runs each program of `tests/programs` and compares what it prints with what it must print. Its
//! README explains the comments that steer this; `VTWASM_NATIVE=python3` adds the same by native
//! Python.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

/// Generous: a machine that is busy with other tests must not fail these.
const LIMIT: Duration = Duration::from_secs(180);

fn main() {
    let arguments = Arguments::from_args();
    let programs = find_programs();
    let mut trials: Vec<Trial> = programs
        .iter()
        .cloned()
        .map(|program| Trial::test(program.name.clone(), move || program.check_in_vtwasm()))
        .collect();
    if let Some(python) = std::env::var_os("VTWASM_NATIVE").map(PathBuf::from) {
        trials.extend(
            programs
                .into_iter()
                .filter(|program| program.native)
                .map(|program| {
                    let python = python.clone();
                    Trial::test(format!("native::{}", program.name), move || {
                        program.check_natively(&python)
                    })
                }),
        );
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A program and what is expected of it.
#[derive(Clone)]
struct Program {
    name: String,
    script: PathBuf,
    /// Flags of `vtwasm run`.
    flags: Vec<String>,
    args: Vec<String>,
    exit_code: i32,
    /// Native Python prints the same.
    native: bool,
}

fn find_programs() -> Vec<Program> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut programs: Vec<Program> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "py"))
        .map(|path| Program::read(&path))
        .collect();
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!programs.is_empty(), "{} holds no programs", folder.display());
    programs
}

impl Program {
    fn read(script: &Path) -> Program {
        let text = fs::read_to_string(script).expect("the program can be read");
        let comment = |name: &str| {
            let head = text.lines().take_while(|line| line.starts_with('#'));
            head.filter_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "))
                .next()
        };
        let words = |name| {
            comment(name)
                .unwrap_or("")
                .split_whitespace()
                .map(str::to_owned)
                .collect()
        };
        Program {
            name: script
                .file_stem()
                .expect("it has a name")
                .to_string_lossy()
                .into_owned(),
            script: script.to_owned(),
            flags: words("vtwasm"),
            args: words("args"),
            exit_code: comment("exit").map_or(0, |code| code.parse().expect("`# exit:` has a number")),
            native: !comment("native").is_some_and(|value| value.starts_with("no")),
        }
    }

    fn check_in_vtwasm(&self) -> Result<(), Failed> {
        let mut command = support::vtwasm();
        command.arg("run");
        self.check(command, &self.flags)
    }

    fn check_natively(&self, python: &Path) -> Result<(), Failed> {
        self.check(Command::new(python), &[])
    }

    /// Runs `command` with the flags, the script and its arguments, beside the script.
    fn check(&self, mut command: Command, flags: &[String]) -> Result<(), Failed> {
        let temporary = tempfile::tempdir()?;
        let place = temporary
            .path()
            .to_str()
            .ok_or("the temporary folder's name is not UTF-8")?;
        let expand = |words: &[String]| {
            words
                .iter()
                .map(|word| word.replace("$TMP", place))
                .collect::<Vec<_>>()
        };
        command
            .args(expand(flags))
            .arg(self.script.file_name().expect("it has a name"));
        command
            .args(expand(&self.args))
            .current_dir(self.script.parent().expect("it is in a folder"));
        let run = support::finish(&mut command, b"", LIMIT)?;
        let mut wrong = self.compare("stdout", &run.stdout, "")?;
        wrong += &self.compare("stderr", &run.stderr, &run.stderr)?;
        if run.status.code() != Some(self.exit_code) {
            wrong += &format!("{}, but the exit code must be {}\n", run.status, self.exit_code);
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(format!("{wrong}stderr:\n{}", run.stderr).into()),
        }
    }

    /// How `actual` differs from the file beside the program, or from `default` without one.
    fn compare(&self, stream: &str, actual: &str, default: &str) -> Result<String, Failed> {
        let path = self.script.with_extension(stream);
        let expected = if path.exists() {
            fs::read_to_string(path)?
        } else {
            default.to_owned()
        };
        if actual == expected {
            return Ok(String::new());
        }
        Ok(format!("{stream} must be:\n{expected}\nbut is:\n{actual}\n"))
    }
}
