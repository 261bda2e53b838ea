//! `vtwasm snapshot`, and `vtwasm run --snapshot`. Those with packages are in `wheels`.

use std::fs;

use tempfile::{TempDir, tempdir};

use crate::end;
use crate::support::{Finished, vtwasm};

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempdir().unwrap())
    }

    fn vtwasm(&self, args: &[&str]) -> Finished {
        end(vtwasm().current_dir(self.0.path()).args(args))
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    /// `my.vtsnap`, of this code.
    fn with_snapshot(code: &str) -> Folder {
        let folder = Folder::new();
        folder.write("prepare.py", code);
        let made = folder.vtwasm(&["snapshot", "prepare.py", "-o", "my.vtsnap"]);
        assert_eq!(made.code(), 0, "{}", made.shown(""));
        folder
    }

    fn run(&self, args: &[&str]) -> Finished {
        self.vtwasm(&[&["run", "--snapshot", "my.vtsnap"], args].concat())
    }
}

fn assert_refused(finished: &Finished, words: &[&str]) {
    assert_eq!(finished.code(), 2, "{}", finished.shown(""));
    for word in words {
        assert!(finished.stderr.contains(word), "{word}: {}", finished.shown(""));
    }
}

#[test]
fn a_program_starts_where_the_script_ended() {
    let folder = Folder::with_snapshot("import json\nprices = json.loads('[1, 2]')\nprint('prepared')");
    folder.write(
        "app.py",
        "import sys; print(sum(prices), sys.argv, 'json' in sys.modules)",
    );
    let run = folder.run(&["app.py", "x"]);
    assert_eq!(run.printed(), "3 ['app.py', 'x'] True\n");
    let without = folder.vtwasm(&["run", "-c", "print('prices' in globals())"]);
    assert_eq!(without.printed(), "False\n");
}

#[test]
fn modules_are_imported_and_leave_no_name() {
    let folder = Folder::new();
    let made = folder.vtwasm(&["snapshot", "--import", "json,xml.dom", "-o", "my.vtsnap"]);
    assert_eq!(made.printed(), "");
    let code = "import sys; print('xml.dom' in sys.modules, 'json' in globals(), 'xml' in globals())";
    assert_eq!(folder.run(&["-c", code]).printed(), "True False False\n");
}

#[test]
fn a_script_that_fails_says_where_and_leaves_no_file() {
    let folder = Folder::new();
    folder.write("prepare.py", "x = 1\ndef f(): return x / 0\nf()\n");
    let made = folder.vtwasm(&["snapshot", "prepare.py", "-o", "my.vtsnap"]);
    let trace = "Traceback (most recent call last):\n  File \"prepare.py\", line 3, in <module>\n    f()";
    assert_refused(
        &made,
        &[trace, "return x / 0", "ZeroDivisionError", "no snapshot was made"],
    );
    assert!(!folder.0.path().join("my.vtsnap").exists());
    let typo = folder.vtwasm(&["snapshot", "--import", "jsno", "-o", "my.vtsnap"]);
    assert_refused(&typo, &["No module named 'jsno'"]);
    folder.write("loop.py", "while True: pass");
    let slow = folder.vtwasm(&["snapshot", "--timeout", "300ms", "loop.py", "-o", "my.vtsnap"]);
    assert_eq!(slow.code(), 124, "{}", slow.shown(""));
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 2);
}

#[test]
fn the_command_line_is_checked() {
    let folder = Folder::new();
    folder.write("prepare.py", "");
    folder.write("latin1.py", b"x = '\xe9'");
    for (args, word) in [
        (&["prepare.py"][..], "--output"),
        (&["-o", "my.vtsnap"], "SCRIPT"),
        (
            &["prepare.py", "--import", "json", "-o", "my.vtsnap"],
            "cannot be used with",
        ),
        (&["--import", "json;x", "-o", "my.vtsnap"], "no module's name"),
        (&["missing.py", "-o", "my.vtsnap"], "No such file"),
        (&[".", "-o", "my.vtsnap"], "no regular file"),
        (&["latin1.py", "-o", "my.vtsnap"], "not UTF-8"),
        (&["prepare.py", "-o", "no/my.vtsnap"], "cannot write no/my.vtsnap"),
    ] {
        let refused = folder.vtwasm(&[&["snapshot"], args].concat());
        assert_refused(&refused, &[word]);
    }
}

#[test]
fn a_file_that_is_not_as_it_was_written_is_refused() {
    let folder = Folder::with_snapshot("x = 1");
    let good = fs::read(folder.0.path().join("my.vtsnap")).unwrap();
    let run = |bytes: &[u8], words: &[&str]| {
        folder.write("my.vtsnap", bytes);
        let words = [
            words,
            &["my.vtsnap", "hint: make it (again) with `vtwasm snapshot`"],
        ]
        .concat();
        assert_refused(&folder.run(&["-c", "print(x)"]), &words);
    };
    run(&good[..good.len() / 2], &["truncated"]);
    run(b"", &["truncated"]);
    run(b"print('hello')", &["no snapshot"]);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    run(&changed(good.len() - 9), &["changed"]);
    run(&changed(16), &["another version of vtwasm"]);
    folder.write("my.vtsnap", &good);
    assert_eq!(folder.run(&["-c", "print(x)"]).printed(), "1\n");
    let missing = folder.vtwasm(&["run", "--snapshot", "none.vtsnap", "-c", "1"]);
    assert_refused(&missing, &["none.vtsnap", "No such file"]);
}

#[test]
fn a_flag_for_an_interpreter_that_starts_is_refused() {
    let folder = Folder::with_snapshot("");
    for flags in [&["-O"][..], &["--env", "PYTHONPATH=/x"], &["-X", "dev"]] {
        let refused = folder.run(&[flags, &["-c", "pass"]].concat());
        assert_refused(&refused, &["its Python has started", "hint:"]);
    }
}
