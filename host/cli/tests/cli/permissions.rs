//! Closed by default: the script's folder is readable, nothing else, and links do not lead out.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use crate::{end, vtwasm};

/// A folder with `box/` (the script's), `outside/secret.txt`, and a script that tries each of its
/// arguments as Python code and prints what comes of it.
fn world() -> TempDir {
    let world = tempdir().unwrap();
    let path = world.path();
    fs::create_dir_all(path.join("box/sub")).unwrap();
    fs::create_dir_all(path.join("outside")).unwrap();
    fs::write(path.join("outside/secret.txt"), "secret").unwrap();
    fs::write(path.join("box/data.txt"), "data").unwrap();
    symlink("../outside/secret.txt", path.join("box/relative_link")).unwrap();
    symlink(path.join("outside/secret.txt"), path.join("box/absolute_link")).unwrap();
    symlink("../outside", path.join("box/folder_link")).unwrap();
    symlink("data.txt", path.join("box/inner_link")).unwrap();
    let script = "
import os, sys
for code in sys.argv[1:]:
    try:
        print(eval(code))
    except OSError as error:
        print(type(error).__name__)
";
    fs::write(path.join("box/try.py"), script).unwrap();
    world
}

/// What comes of each of these pieces of code, inside `box/`.
fn attempt(world: &Path, flags: &[&str], codes: &[&str]) -> Vec<String> {
    let mut command = vtwasm();
    command
        .current_dir(world.join("box"))
        .arg("run")
        .args(flags)
        .arg("try.py")
        .args(codes);
    end(&mut command).printed().lines().map(str::to_owned).collect()
}

#[test]
fn the_scripts_folder_is_readable_and_not_writable() {
    let world = world();
    let codes = [
        "open('data.txt').read()",
        "open('inner_link').read()",
        "sorted(os.listdir('.'))[-2:]",
        "open('new.txt', 'w')",
        "open('data.txt', 'a')",
        "os.remove('data.txt')",
        "os.mkdir('new')",
        "os.rename('data.txt', 'sub/data.txt')",
        "os.symlink('data.txt', 'new')",
    ];
    let results = attempt(world.path(), &[], &codes);
    assert_eq!(results[..3], ["data", "data", "['sub', 'try.py']"]);
    for (code, result) in codes.iter().zip(&results).skip(3) {
        assert!(
            ["PermissionError", "OSError"].contains(&result.as_str()),
            "{code}: {result}"
        );
    }
    assert_eq!(
        fs::read_to_string(world.path().join("box/data.txt")).unwrap(),
        "data"
    );
    assert!(!world.path().join("box/new.txt").exists());
}

#[test]
fn nothing_outside_can_be_reached() {
    let world = world();
    let absolute = format!(
        "open('{}').read()",
        world.path().join("outside/secret.txt").display()
    );
    let codes = [
        absolute.as_str(),
        "open('../outside/secret.txt').read()",
        "open('sub/../../outside/secret.txt').read()",
        "open('./sub/../../box/../outside/secret.txt').read()",
        "open('relative_link').read()",
        "open('absolute_link').read()",
        "open('folder_link/secret.txt').read()",
        "os.listdir('folder_link')",
        "os.listdir('..')",
        "os.listdir('/')",
        "os.listdir('/etc')",
        "open('/etc/passwd').read()",
        "open('/proc/self/environ').read()",
        "os.stat('/etc/passwd')",
        "os.chdir('..') or open('outside/secret.txt').read()",
    ];
    for (code, result) in codes.iter().zip(attempt(world.path(), &[], &codes)) {
        let refused = ["FileNotFoundError", "PermissionError", "OSError"].contains(&result.as_str());
        assert!(refused, "{code}: {result}");
    }
}

#[test]
fn a_folder_that_was_allowed_can_be_read() {
    let world = world();
    let codes = [
        "open('../outside/secret.txt').read()",
        "open('../outside/new', 'w')",
    ];
    assert_eq!(
        attempt(world.path(), &["--allow-read=.."], &codes),
        ["secret", "PermissionError"]
    );
    let codes = ["open('/data/secret.txt').read()", "os.listdir('/data')"];
    let flag = format!("--allow-read={}::/data", world.path().join("outside").display());
    assert_eq!(
        attempt(world.path(), &[&flag], &codes),
        ["secret", "['secret.txt']"]
    );
}

#[test]
fn a_folder_that_was_allowed_can_be_written() {
    let world = world();
    let codes = [
        "open('sub/new.txt', 'w').write('new')",
        "open('sub/new.txt').read()",
        "open('x', 'w')",
    ];
    assert_eq!(
        attempt(world.path(), &["--allow-write=sub"], &codes),
        ["3", "new", "PermissionError"]
    );
    assert_eq!(
        fs::read_to_string(world.path().join("box/sub/new.txt")).unwrap(),
        "new"
    );
}

#[test]
fn out_of_a_writable_folder_in_a_readable_one_leads_an_absolute_path_and_not_two_dots() {
    let world = world();
    let absolute = format!("open('{}').read()", world.path().join("box/data.txt").display());
    let codes = ["open('sub/../data.txt').read()", absolute.as_str()];
    assert_eq!(
        attempt(world.path(), &["--allow-write=sub"], &codes),
        ["PermissionError", "data"]
    );
}

#[test]
fn everything_can_be_allowed_at_once() {
    let world = world();
    let codes = [
        "open('relative_link').read()",
        "open('absolute_link').read()",
        "'etc' in os.listdir('/')",
    ];
    let results = attempt(world.path(), &["--allow-read"], &codes);
    assert_eq!(results[2], "True");
    let codes = [
        "open('../outside/new.txt', 'w').write('x')",
        "open('here.txt', 'w').write('y')",
    ];
    assert_eq!(attempt(world.path(), &["--allow-write"], &codes), ["1", "1"]);
    assert!(world.path().join("outside/new.txt").exists() && world.path().join("box/here.txt").exists());
}

#[test]
fn code_without_a_script_reads_nothing() {
    let mut command = vtwasm();
    command.args([
        "run",
        "-c",
        "import os; print(os.path.exists('/etc'), os.path.exists('Cargo.toml'))",
    ]);
    assert_eq!(end(&mut command).printed(), "False False\n");
}
