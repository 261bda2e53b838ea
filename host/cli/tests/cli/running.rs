//! Scripts, code, modules, stdin; arguments, flags, environment; exit codes; doctor.

use std::fs;
use std::path::Path;

use tempfile::tempdir;

use crate::support::finish;
use crate::{LIMIT, end, run, run_code, vtwasm};

const SHOW: &str = "import sys; print(sys.argv)";

#[test]
fn a_script_sees_its_arguments_and_its_folder() {
    let folder = tempdir().unwrap();
    fs::write(folder.path().join("beside.py"), "value = 42").unwrap();
    fs::write(
        folder.path().join("main.py"),
        format!("{SHOW}; import beside; print(beside.value)"),
    )
    .unwrap();
    let run = end(vtwasm()
        .current_dir(&folder)
        .args(["run", "main.py", "-O", "--", "--timeout", "é"]));
    assert_eq!(run.printed(), "['main.py', '-O', '--', '--timeout', 'é']\n42\n");
}

#[test]
fn a_script_is_found_wherever_the_current_folder_is() {
    let folder = tempdir().unwrap();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::write(folder.path().join("a/main.py"), "print(__file__)").unwrap();
    let real = folder
        .path()
        .canonicalize()
        .unwrap()
        .join("a/main.py")
        .display()
        .to_string()
        + "\n";
    for (here, script) in [
        ("", "a/main.py"),
        ("a", "main.py"),
        ("a/b", "../main.py"),
        ("a", "./b/../main.py"),
    ] {
        let run = end(vtwasm()
            .current_dir(folder.path().join(here))
            .args(["run", script]));
        assert_eq!(run.printed(), real, "{script} in {here}");
    }
}

#[test]
fn a_script_that_is_a_link_runs_from_where_it_is() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::write(folder.path().join("real/main.py"), "import beside").unwrap();
    fs::write(folder.path().join("real/beside.py"), "print('found')").unwrap();
    std::os::unix::fs::symlink("real/main.py", folder.path().join("link.py")).unwrap();
    assert_eq!(
        end(vtwasm().current_dir(&folder).args(["run", "link.py"])).printed(),
        "found\n"
    );
}

#[test]
fn relative_paths_start_at_the_current_folder() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("scripts")).unwrap();
    fs::write(folder.path().join("data.txt"), "the data").unwrap();
    fs::write(
        folder.path().join("scripts/main.py"),
        "print(open('data.txt').read())",
    )
    .unwrap();
    let run = end(vtwasm()
        .current_dir(&folder)
        .args(["run", "--allow-read=.", "scripts/main.py"]));
    assert_eq!(run.printed(), "the data\n");
}

#[test]
fn code_and_modules_take_arguments() {
    assert_eq!(
        run(["-c", SHOW, "-x", "--env", "y"]).printed(),
        "['-c', '-x', '--env', 'y']\n"
    );
    let sorted = finish(
        vtwasm().args(["run", "-m", "json.tool", "--sort-keys", "--compact"]),
        br#"{"b":1,"a":2}"#,
        LIMIT,
    );
    assert_eq!(sorted.unwrap().printed(), "{\"a\":2,\"b\":1}\n");
}

#[test]
fn a_module_of_the_current_folder_runs() {
    let folder = tempdir().unwrap();
    fs::create_dir(folder.path().join("package")).unwrap();
    fs::write(folder.path().join("package/__main__.py"), "print(__package__)").unwrap();
    fs::write(folder.path().join("single.py"), "print(__name__)").unwrap();
    let run = |module| end(vtwasm().current_dir(&folder).args(["run", "-m", module]));
    assert_eq!(run("package").printed(), "package\n");
    assert_eq!(run("single").printed(), "__main__\n");
    let missing = run("nonesuch");
    assert_eq!(missing.code(), 1);
    assert!(
        missing.stderr.contains("No module named nonesuch"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_program_on_stdin_runs() {
    for args in [&["run"][..], &["run", "-"]] {
        let run = finish(vtwasm().args(args), b"print('from', 'stdin')", LIMIT).unwrap();
        assert_eq!(run.printed(), "from stdin\n");
    }
    let run = finish(vtwasm().args(["run", "-", "a", "-b"]), SHOW.as_bytes(), LIMIT).unwrap();
    assert_eq!(run.printed(), "['-', 'a', '-b']\n");
}

#[test]
fn pythons_own_flags_reach_it() {
    let code = "import sys; f = sys.flags; print(f.optimize, f.dev_mode, f.dont_write_bytecode, f.no_site, __debug__)";
    let run = run_code(&["-OO", "-X", "dev", "-B", "-S"], code);
    assert_eq!(run.printed(), "2 True 1 1 False\n");
    let warning = run_code(&["-W", "error"], "import warnings; warnings.warn('x')");
    assert_eq!(warning.code(), 1);
}

#[test]
fn the_environment_is_empty_unless_asked_for() {
    let show =
        "import os; print(sorted(n for n in os.environ if n.startswith('VT_')), os.environ.get('VT_A'))";
    let run = |flags: &[&str]| {
        let mut command = vtwasm();
        command
            .env("VT_A", "here")
            .env("VT_B", "too")
            .arg("run")
            .args(flags)
            .args(["-c", show]);
        end(&mut command).printed().to_owned()
    };
    assert_eq!(run(&[]), "[] None\n");
    assert_eq!(run(&["--env", "VT_A"]), "['VT_A'] here\n");
    assert_eq!(
        run(&["--env", "VT_A=x=y", "--env", "VT_C="]),
        "['VT_A', 'VT_C'] x=y\n"
    );
    assert_eq!(run(&["--allow-env"]), "['VT_A', 'VT_B'] here\n");
    assert_eq!(
        run(&["--allow-env", "--env", "VT_A=mine"]),
        "['VT_A', 'VT_B'] mine\n"
    );
}

#[test]
fn no_color_reaches_the_tracebacks() {
    let code = "import os; print(os.environ.get('NO_COLOR'))";
    let mut command = vtwasm();
    command.args(["run", "-c", code]).env("NO_COLOR", "1");
    assert_eq!(end(&mut command).printed(), "1\n");
}

#[test]
fn the_exit_code_is_the_programs() {
    for (code, expected) in [
        ("pass", 0),
        ("raise SystemExit(42)", 42),
        ("import sys; sys.exit('message')", 1),
        ("import os; os._exit(200)", 200),
        ("raise SystemExit(256 + 7)", 7),
        ("1/0", 1),
        ("raise KeyboardInterrupt", 130),
    ] {
        assert_eq!(run_code(&[], code).code(), expected, "{code}");
    }
}

#[test]
fn doctor_tells_what_is_in_use() {
    let doctor = end(vtwasm().arg("doctor"));
    for section in ["vtwasm", "python", "engine", "cache", "limits"] {
        assert!(
            doctor.printed().lines().any(|line| line.starts_with(section)),
            "{section}:\n{}",
            doctor.stdout
        );
    }
    let folder = tempdir().unwrap();
    let broken = end(vtwasm().arg("doctor").env("VTWASM_PYTHON", folder.path()));
    assert_eq!(broken.code(), 125);
    assert!(
        broken.stdout.contains("engine") && broken.stderr.contains("hint:"),
        "{}",
        broken.shown("")
    );
}

#[test]
fn the_examples_run() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut ran = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "py") {
            assert!(!run([&path]).printed().is_empty(), "{}", path.display());
            ran += 1;
        }
    }
    assert!(ran >= 5);
}

#[test]
fn what_threads_did_is_written_where_it_is_asked_for() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("timeline.json");
    let flag = format!("--timeline={}", file.display());
    let code = "import threading, time
thread = threading.Thread(target=time.sleep, args=(0.01,))
thread.start(); thread.join(); exit(3)";
    let run = run_code(&[&flag], code);
    assert_eq!((run.status.code(), run.stderr.as_str()), (Some(3), ""));
    let trace = fs::read_to_string(&file).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&trace).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let named = events.iter().filter(|event| event["name"] == "thread_name");
    let names = named.map(|event| event["args"]["name"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["main", "thread 1"]);
    let slept = events.iter().find(|event| event["name"] == "sleeping").unwrap();
    assert_eq!((&slept["ph"], &slept["tid"]), (&"X".into(), &2.into()));
    assert!(slept["dur"].as_u64().unwrap() >= 9_000, "{slept}");
    // Before anything runs.
    let run = run_code(&["--timeline=/nowhere/x"], "print(1)");
    assert_eq!((run.status.code(), run.stdout.as_str()), (Some(2), ""));
    assert!(
        run.stderr.contains("can't write --timeline /nowhere/x"),
        "{}",
        run.stderr
    );
}
