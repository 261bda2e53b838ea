//! Bad input ends with a message that says what to do, and never with a panic.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;

use insta::assert_snapshot;
use tempfile::{TempDir, tempdir};

use crate::{Finished, end, run, run_code, vtwasm};

#[test]
fn help_shows_every_flag_in_its_group() {
    assert_snapshot!("help", end(vtwasm().arg("--help")).printed());
    assert_snapshot!("help_run", end(vtwasm().args(["run", "--help"])).printed());
}

#[test]
fn a_missing_script_is_named() {
    assert_snapshot!(run(["nowhere/to/be/found.py"]).shown(""), @r#"
    error: can't run nowhere/to/be/found.py: No such file or directory (os error 2)
    [exit status: 2]
    "#);
}

#[test]
fn a_folder_is_not_a_script_unless_it_has_a_main() {
    let folder = tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_snapshot!(run([path]).shown(path), @r#"
    error: can't run [FOLDER]: it is a folder without a __main__.py
    hint: give the script's file, or put a __main__.py into the folder
    [exit status: 2]
    "#);
    fs::write(folder.path().join("__main__.py"), "print('the folder runs')").unwrap();
    assert_eq!(run([path]).printed(), "the folder runs\n");
}

#[test]
fn a_device_is_not_a_script() {
    assert_snapshot!(run(["/dev/null"]).shown(""), @r#"
    error: can't run /dev/null: it is no regular file
    hint: to run what a pipe or a device gives, use: vtwasm run - < FILE
    [exit status: 2]
    "#);
}

#[test]
fn a_script_that_is_not_utf8_is_a_syntax_error() {
    let folder = tempdir().unwrap();
    let script = folder.path().join("latin.py");
    fs::write(&script, b"print('caf\xe9')\n").unwrap();
    let run = run([&script]);
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr.contains("SyntaxError: Non-UTF-8 code"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_syntax_error_is_pythons_own() {
    let run = run_code(&[], "print(");
    assert_eq!(run.code(), 1);
    assert!(
        run.stderr.contains("SyntaxError: '(' was never closed"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_argument_that_is_not_utf8_is_refused() {
    let argument = std::ffi::OsStr::from_bytes(b"caf\xe9");
    assert_snapshot!(end(vtwasm().args(["run", "-c", "pass"]).arg(argument)).shown(""), @r#"
    error: the argument "caf\xE9" is not UTF-8
    hint: the sandbox passes on only UTF-8; hand other bytes in through a file or stdin
    [exit status: 2]
    "#);
}

#[test]
fn a_wrong_unit_says_which_are_right() {
    assert_snapshot!(run(["--memory", "512", "x.py"]).shown(""), @r#"
    error: invalid value '512' for '--memory <SIZE>': the unit is missing: expected a size such as 512MiB or 10MB

    For more information, try '--help'.
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--memory", "512M", "x.py"]).shown(""), @r#"
    error: invalid value '512M' for '--memory <SIZE>': unknown unit "M": expected B, kB, MB, GB, KiB, MiB or GiB

    For more information, try '--help'.
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--timeout", "10", "x.py"]).shown(""), @r#"
    error: invalid value '10' for '--timeout <TIME>': the unit is missing: expected a duration such as 250ms, 10s or 2min

    For more information, try '--help'.
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--cpu-time", "2 parsecs", "x.py"]).shown(""), @r#"
    error: invalid value '2 parsecs' for '--cpu-time <TIME>': unknown unit "parsecs": expected us, ms, s, min, h or d

    For more information, try '--help'.
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--max-threads", "0", "x.py"]).shown(""), @r#"
    error: invalid value '0' for '--max-threads <N>': 0 is not in 1..=4294967295

    For more information, try '--help'.
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--max-output", "0MB", "x.py"]).shown(""), @r#"
    error: invalid value '0MB' for '--max-output <SIZE>': out of range: expected a size such as 512MiB or 10MB

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

#[test]
fn an_unknown_flag_is_not_taken_for_a_script() {
    assert_snapshot!(run(["--allow-raed", "x.py"]).shown(""), @r#"
    error: unexpected argument '--allow-raed' found

      tip: a similar argument exists: '--allow-read'
      tip: to pass '--allow-raed' as a value, use '-- --allow-raed'

    Usage: vtwasm run [OPTIONS] [SCRIPT | - | -c CODE | -m MODULE] [ARGS]...

    For more information, try '--help'.
    [exit status: 2]
    "#);
}

#[test]
fn a_permission_is_for_a_folder_that_is_there() {
    assert_snapshot!(run(["--allow-read=/nowhere", "-c", ""]).shown(""), @r#"
    error: --allow-read: /nowhere: No such file or directory (os error 2)
    hint: a permission is for a folder that exists; make it first
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--allow-write=/etc/passwd", "-c", ""]).shown(""), @r#"
    error: --allow-write: /etc/passwd: not a folder
    hint: permissions are for folders; the one it is in is /etc
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--allow-read=/tmp::tmp", "-c", ""]).shown(""), @r#"
    error: --allow-read: /tmp: the name for the program is not absolute
    hint: write HOST::GUEST with an absolute GUEST, such as ./data::/data
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--allow-read=/tmp::/x", "--allow-read=/etc::/x", "-c", ""]).shown(""), @r#"
    error: /tmp and /etc cannot both be /x
    hint: give each a name of its own
    [exit status: 2]
    "#);
}

#[test]
fn a_folder_that_cannot_be_read_cannot_be_given_away() {
    let folder = tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = vtwasm();
    command.args(["run", &format!("--allow-read={}", closed.display()), "-c", ""]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Root may read everything: ask as nobody.
        command.uid(65534).current_dir("/");
    }
    assert_snapshot!(end(&mut command).shown(folder.path().to_str().unwrap()), @r#"
    error: --allow-read: [FOLDER]/closed: Permission denied (os error 13)
    hint: vtwasm can give away only what you can read yourself
    [exit status: 2]
    "#);
}

#[test]
fn an_environment_variable_needs_a_name_and_a_value() {
    assert_snapshot!(run(["--env", "=x", "-c", ""]).shown(""), @r#"
    error: --env "=x": the name is missing
    hint: write --env NAME=VALUE
    [exit status: 2]
    "#);
    assert_snapshot!(run(["--env", "VTWASM_NEVER_SET", "-c", ""]).shown(""), @r#"
    error: --env VTWASM_NEVER_SET: environment variable not found
    hint: write --env VTWASM_NEVER_SET=VALUE to set it
    [exit status: 2]
    "#);
}

#[test]
fn an_artifact_folder_without_an_artifact_is_refused() {
    let folder = tempdir().unwrap();
    let run = end(vtwasm()
        .args(["run", "-c", ""])
        .env("VTWASM_PYTHON", folder.path()));
    assert_snapshot!(run.shown(folder.path().to_str().unwrap()), @r#"
    error: VTWASM_PYTHON=[FOLDER]: python.wasm is not there
    hint: point it to a folder made by `cargo xtask python`, or unset it
    [exit status: 125]
    "#);
}

#[cfg(not(feature = "embed"))]
#[test]
fn no_artifact_at_all_says_how_to_get_one() {
    let folder = tempdir().unwrap();
    let run = end(vtwasm()
        .args(["run", "-c", ""])
        .env_remove("VTWASM_PYTHON")
        .env("VTWASM_CACHE", folder.path()));
    assert_snapshot!(run.shown(folder.path().to_str().unwrap()), @r#"
    error: no Python for wasm is in [FOLDER]/python
    hint: build one with `cargo xtask python`, or point VTWASM_PYTHON to its folder
    [exit status: 125]
    "#);
}

/// A folder that looks like an artifact, with a component that consists of these bytes.
fn artifact(component: &[u8]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in [
        ("python.wasm", component),
        ("python313.zip", b""),
        ("manifest.json", b"{}"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// What becomes of a run with such an artifact, and a cache of its own.
fn run_artifact(component: &[u8]) -> Finished {
    let folder = artifact(component);
    let mut command = vtwasm();
    command
        .args(["run", "-c", ""])
        .env("VTWASM_PYTHON", folder.path())
        .env("VTWASM_CACHE", folder.path().join("cache"));
    end(&mut command)
}

const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

#[test]
fn an_artifact_that_does_not_fit_is_refused() {
    for component in [&b"\0asm garbage"[..], EMPTY_COMPONENT] {
        let run = run_artifact(component);
        assert_eq!(run.code(), 125);
        assert!(
            run.stderr
                .contains("hint: build Python for this version of vtwasm"),
            "{}",
            run.stderr
        );
    }
}

/// Imports `exit` of `vtwasm:host/fibers@0.9.0`, and is nothing more.
const COMPONENT_OF_ANOTHER_VERSION: &[u8] = b"\0asm\x0d\0\x01\0\
    \x07\x11\x01\x42\x02\x01\x40\x00\x01\x00\x04\x00\x04exit\x01\x00\
    \x0a\x1d\x01\x00\x18vtwasm:host/fibers@0.9.0\x05\x00";

#[test]
fn an_artifact_of_another_version_is_refused_and_says_what_it_wants() {
    let run = run_artifact(COMPONENT_OF_ANOTHER_VERSION);
    assert_eq!(run.code(), 125);
    for words in [
        "vtwasm:host/fibers@0.9.0",
        "hint: build Python for this version of vtwasm",
    ] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

/// Runs vtwasm with its cache on a disk of a megabyte, or where that cannot be had, in a process whose
/// files end at a megabyte; then lists what it left.
#[cfg(feature = "embed")]
const ON_A_SMALL_DISK: &str = r#"
    if unshare -rm true 2>/dev/null; then
        exec unshare -rm sh -c 'mount -t tmpfs -o size=1m none "$1" || exit 99
            "$2" run -c ""; code=$?; find "$1" -type f; exit $code' sh "$1" "$2"
    fi
    trap "" XFSZ; ulimit -f 1024; "$2" run -c ""; code=$?; find "$1" -type f; exit $code"#;

#[cfg(feature = "embed")]
#[test]
fn a_full_disk_says_to_free_some_space_and_nothing_half_written_stays() {
    let folder = tempdir().unwrap();
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", ON_A_SMALL_DISK, "sh"])
        .args([folder.path(), std::path::Path::new(env!("CARGO_BIN_EXE_vtwasm"))]);
    let run = end(shell
        .env("VTWASM_CACHE", folder.path())
        .env_remove("VTWASM_PYTHON"));
    assert_eq!((run.code(), run.stdout.as_str()), (125, ""), "{}", run.stderr);
    for words in ["cannot write", "hint: free some space"] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = artifact(EMPTY_COMPONENT);
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let mut command = vtwasm();
    let run = end(command
        .args(["run", "-c", ""])
        .env("VTWASM_PYTHON", folder.path())
        .env("VTWASM_CACHE", &file));
    assert_eq!(run.code(), 125);
    assert!(run.stderr.contains(file.to_str().unwrap()), "{}", run.stderr);
    assert!(
        run.stderr.contains("hint: point VTWASM_CACHE to"),
        "{}",
        run.stderr
    );
}
