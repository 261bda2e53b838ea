//! The tool that resolves and unpacks: uv, the user's own or one that pip fetches for vtwasm.
//!
//! Addresses, certificates and passwords are the tool's business: a uv that the user has reads uv's
//! configuration; where there is only pip, its configuration is handed on to the uv that it fetched.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::guest;
use super::lock::{Lock, Locked};
use super::requirement::Requirement;
use super::store::{Store, cannot};
use crate::failure::{Failure, progress};

/// What pip is asked for. Locks have checksums of files in a folder since 0.10.
const WANTED: &str = "uv>=0.10,<1";

/// How often is looked whether it is done.
const LOOK: Duration = Duration::from_millis(10);

/// Besides the guest's own, the platform whose native wheels may stand for it (`choice`).
const ENVIRONMENT: &str =
    "sys_platform == 'wasi' or (sys_platform == 'linux' and platform_machine == 'x86_64')";
const PLATFORM: &str = "x86_64-manylinux_2_40";

/// Settings of pip, and what uv calls them.
const SETTINGS: [(&str, &str, &str); 7] = [
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", ""),
    ("cert", "SSL_CERT_FILE", ""),
    ("proxy", "ALL_PROXY", ""),
    ("trusted-host", "UV_INSECURE_HOST", " "),
];

/// A uv that works.
pub struct Uv {
    program: PathBuf,
    /// What pip is configured to, as uv's variables.
    settings: Vec<(&'static str, String)>,
}

impl Uv {
    /// The user's uv; else the one in the cache, which pip fetches if it is not there.
    pub fn find(store: &Store) -> Result<Uv> {
        if version(Path::new("uv")).is_some() {
            return Ok(Uv {
                program: "uv".into(),
                settings: Vec::new(),
            });
        }
        let folder = store.tool();
        let program = folder.join("bin/uv");
        let pip = pip();
        if version(&program).is_none() {
            let Some(pip) = &pip else {
                let what = "fetching packages needs uv or pip, and neither can be run";
                let hint = "install uv, or pip for python3 (on Debian: apt install python3-pip)";
                return Err(Failure::packages(what).hint(hint).into());
            };
            progress("fetching uv with pip (once)…");
            let _ = fs::remove_dir_all(&folder);
            store.keep(&folder, |room| fetch(pip, &room.join("uv")))?;
        }
        let settings = pip.map(|pip| settings(&pip)).unwrap_or_default();
        Ok(Uv { program, settings })
    }

    /// Finds versions for what is required and for all that it requires. Nothing is built.
    pub fn resolve(&self, requirements: &[Requirement], store: &Store) -> Result<Lock> {
        progress("resolving packages…");
        let output = store.with_room(|room| {
            let project = room.join("pyproject.toml");
            let settings = format!("[tool.uv]\nenvironments = [\"{ENVIRONMENT}\"]\n");
            fs::write(&project, settings).map_err(cannot("write", &project))?;
            let mut command = self.command(["pip", "compile", "-", "--universal", "--format=pylock.toml"]);
            command
                .args([
                    "--only-binary=:all:",
                    "--generate-hashes",
                    "--no-header",
                    "--no-annotate",
                ])
                .arg(format!("--python-version=3.{}", guest::MINOR))
                .arg("--project")
                .arg(room);
            let lines: String = requirements.iter().map(|it| format!("{it}\n")).collect();
            finish(&mut command, &lines, &|| true)
        })?;
        let text = succeeded(output, "resolving packages")?;
        let here = env::current_dir().unwrap_or_default();
        Lock::parse(&text, &here.join("of uv"))
    }

    /// Fetches what is locked, compares the checksums and unpacks it all into one folder in `room`, as long as it is wanted.
    pub fn install(&self, locked: &Locked, room: &Path, wanted: Wanted<'_>) -> Result<PathBuf> {
        let count = locked.len();
        progress(&format!(
            "fetching {count} package{}…",
            if count == 1 { "" } else { "s" }
        ));
        let lock = room.join("pylock.toml");
        fs::write(&lock, locked.to_installable_text()).map_err(cannot("write", &lock))?;
        let site = room.join("site");
        let mut command = self.command(["pip", "install", "--no-deps", "--no-build"]);
        command
            .args(["--no-compile-bytecode", "--link-mode=copy"])
            .arg(format!("--python-version=3.{}", guest::MINOR))
            .arg(format!("--python-platform={PLATFORM}"))
            .arg("--target")
            .arg(&site)
            .arg("-r")
            .arg(&lock);
        succeeded(finish(&mut command, "", wanted)?, "fetching packages")?;
        let _ = fs::remove_file(site.join(".lock"));
        Ok(site)
    }

    fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        let mut command = Command::new(&self.program);
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        let settings = self.settings.iter().filter(|(name, _)| !set(name));
        command
            .args(args)
            .arg("--quiet")
            .envs(settings.map(|(name, value)| (name, value)))
            .env("NO_COLOR", "1")
            // A Python of uv's own would be fetched for nothing: it only looks what there is.
            .env("UV_PYTHON_DOWNLOADS", "never");
        command
    }
}

/// Which uv is in use, for people.
pub fn describe() -> String {
    let found = |program: &Path, whose: &str| Some(format!("{}, {whose}", version(program)?));
    let own = || found(&Store::open().ok()?.tool().join("bin/uv"), "fetched with pip");
    found(Path::new("uv"), "the one on PATH")
        .or_else(own)
        .or_else(|| pip().map(|_| "pip, which will fetch uv when it is needed".to_owned()))
        .unwrap_or_else(|| "none: --with needs uv or pip".to_owned())
}

/// What this uv says of itself, if it can be run.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && text.starts_with("uv ")).then_some(text)
}

/// How pip is called here.
fn pip() -> Option<Vec<&'static OsStr>> {
    let ways = [&["python3", "-m", "pip"][..], &["pip3"], &["pip"]];
    let ways = ways.map(|way| way.iter().map(OsStr::new).collect::<Vec<_>>());
    ways.into_iter().find(|way| {
        let output = call(way).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    })
}

fn call(words: &[&OsStr]) -> Command {
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

/// Puts uv into `folder`. Its wheel holds one program and nothing that is run on the way.
fn fetch(pip: &[&OsStr], folder: &Path) -> Result<PathBuf> {
    let mut command = call(pip);
    command
        .args([
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--target",
        ])
        .arg(folder)
        .arg(WANTED);
    succeeded(finish(&mut command, "", &|| true)?, "fetching uv with pip")?;
    Ok(folder.to_owned())
}

/// What pip is configured to, in uv's words.
fn settings(pip: &[&OsStr]) -> Vec<(&'static str, String)> {
    let output = call(pip).args(["config", "list"]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    read_settings(&String::from_utf8_lossy(&text))
}

/// Reads lines such as `global.index-url='https://…'`; those of variables come first and count.
fn read_settings(text: &str) -> Vec<(&'static str, String)> {
    let mut settings: Vec<(&'static str, String)> = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let name = name.rsplit('.').next().unwrap_or(name);
        let Some(&(_, variable, between)) = SETTINGS.iter().find(|(pip, ..)| *pip == name) else {
            continue;
        };
        // Several values are separated by white space, which a file's are shown with as `\n`.
        let value = value.trim().trim_matches('\'').replace("\\n", " ");
        let value = value.split_whitespace().collect::<Vec<_>>().join(between);
        if !value.is_empty() && settings.iter().all(|(known, _)| *known != variable) {
            settings.push((variable, value));
        }
    }
    settings
}

/// Whether somebody still waits for it; else it is given up.
pub type Wanted<'a> = &'a (dyn Fn() -> bool + Sync);

/// Runs `command` with `input` on its stdin to its end, or until nobody wants it.
fn finish(command: &mut Command, input: &str, wanted: Wanted<'_>) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {program}"))?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // It may end without reading; then it says why.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (status, stdout, stderr) = thread::scope(|scope| {
        let (stdout, stderr) = (scope.spawn(|| all_of(out)), scope.spawn(|| all_of(err)));
        let status = loop {
            if !wanted() {
                let _ = child.kill();
                break child.wait();
            }
            match child.try_wait() {
                Ok(None) => thread::sleep(LOOK),
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            }
        };
        let read = |reader: thread::ScopedJoinHandle<'_, Vec<u8>>| reader.join().unwrap_or_default();
        (status, read(stdout), read(stderr))
    });
    Ok(Output {
        status: status.with_context(|| format!("running {program}"))?,
        stdout,
        stderr,
    })
}

fn all_of(stream: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// What it printed, or its own words as an error.
fn succeeded(output: Output, doing: &str) -> Result<String> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let failure = Failure::packages(format!("{doing}: {}", essence(&said)));
    Err(match hint(&said) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
    .into())
}

/// The tool's error without its advice, which is for projects and not for a run of a program.
fn essence(said: &str) -> String {
    let advice = |line: &&str| !line.starts_with("hint: ") && !line.starts_with("warning: ");
    let lines: Vec<&str> = said.lines().filter(advice).collect();
    let text = lines.join("\n");
    let text = text
        .trim()
        .trim_start_matches("error: ")
        .trim_start_matches("ERROR: ");
    // Which machines a version was looked for is no news.
    match text.split_once(" for split (markers: ") {
        Some((start, rest)) => format!("{start}{}", rest.find('\n').map_or("", |end| &rest[end..])),
        None => text.to_owned(),
    }
}

/// What helps against what the tool said.
fn hint(said: &str) -> Option<&'static str> {
    let hints: [(&[&str], &str); 7] = [
        (
            &["Hash mismatch", "hash mismatch"],
            "the file is not the one that was locked; if the change is right, resolve anew with --upgrade",
        ),
        (
            &["No space left on device", "os error 28"],
            "free some space, or point VTWASM_CACHE to a folder on another disk",
        ),
        (
            &["No interpreter found", "No Python interpreter"],
            "uv needs a Python on this machine to look at: install python3",
        ),
        (
            &["unexpected argument", "invalid value 'pylock.toml'"],
            "this uv is too old: update it",
        ),
        (
            &[
                "error sending request",
                "dns error",
                "Failed to fetch",
                "Connection refused",
                "timed out",
            ],
            "is the network there? What was locked with --lock=FILE and fetched once needs none",
        ),
        (
            &["has no usable wheels", "has no wheels"],
            "a package without wheels has to be built, which would run its code here: where you trust it, \
             build it with `pip wheel` and name the folder in UV_FIND_LINKS",
        ),
        (
            &[
                "not found in the package registry",
                "there are no versions",
                "No solution found",
            ],
            "check the names and versions: in --with, or in the script's dependencies",
        ),
    ];
    let applies = |words: &&[&str]| words.iter().any(|word| said.contains(word));
    hints
        .into_iter()
        .find(|(words, _)| applies(words))
        .map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_pip_become_those_of_uv() {
        let text = ":env:.find-links='/a b'\nglobal.index-url='x://y'\nglobal.find-links='/c'\n\
                    global.extra-index-url='\\nx://1\\nx://2'\nglobal.timeout='3'\nnonsense\n";
        assert_eq!(
            read_settings(text),
            [
                ("UV_FIND_LINKS", "/a,b".to_owned()),
                ("UV_DEFAULT_INDEX", "x://y".to_owned()),
                ("UV_INDEX", "x://1 x://2".to_owned()),
            ]
        );
    }

    #[test]
    fn of_what_the_tool_says_the_error_is_shown() {
        let said = "warning: x\nerror: No solution found when resolving dependencies for split \
                    (markers: a == 'b' or (c == 'd'))\n  cause: Because z\n\nhint: limit it\n";
        assert_eq!(
            essence(said),
            "No solution found when resolving dependencies\n  cause: Because z"
        );
        assert!(hint(said).unwrap().contains("check the names"));
        assert_eq!(hint("anything"), None);
    }
}
