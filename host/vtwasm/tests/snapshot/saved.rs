//! Snapshots that users make: what is in them, what is renewed, what is refused.

use std::fs;
use std::time::Duration;

use tempfile::tempdir;
use vtwasm::{Access, Builder, Error, Limit, Limits, Outcome, Output, Sandbox, Session, Snapshot};

use crate::common::{self, run};

fn builder() -> Builder {
    let mut builder = Sandbox::builder(common::python());
    builder.stdout(Output::Capture).stderr(Output::Capture);
    builder
}

async fn made(source: &str) -> Snapshot {
    Snapshot::make(&mut builder(), "prepare.py", source)
        .await
        .unwrap()
}

async fn refused(source: &str) -> String {
    match Snapshot::make(&mut builder(), "prepare.py", source).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("made of {source:?}"),
    }
}

fn program(snapshot: &Snapshot, code: &str) -> Builder {
    let mut builder = builder();
    builder.snapshot(snapshot).args(["python3", "-c", code]);
    builder
}

/// What `code` prints from the snapshot; it must come to its end and say nothing on stderr.
async fn printed(snapshot: &Snapshot, code: &str) -> String {
    let report = run(&mut program(snapshot, code)).await;
    let stderr = String::from_utf8_lossy(&report.stderr);
    assert_eq!((report.outcome, &*stderr), (Outcome::Exited(0), ""), "{code}");
    String::from_utf8(report.stdout).unwrap()
}

#[tokio::test]
async fn programs_find_what_the_code_left_and_nothing_of_each_other() {
    let snapshot =
        made("import json, email.message\ndata = {'n': 1}\ndef f(): return data['n']\nprint('seen')").await;
    let code = "import sys
print(f(), 'json' in sys.modules, 'email.message' in sys.modules, 'uuid' in sys.modules, sys.argv, __name__)
data['n'] += 1";
    for _ in 0..3 {
        assert_eq!(
            printed(&snapshot, code).await,
            "1 True True False ['-c'] __main__\n"
        );
    }
    let mut session = builder();
    let session = Session::start(session.snapshot(&snapshot)).unwrap();
    assert_eq!(session.call("f", [], []).await.unwrap(), vtwasm::Value::from(1));
}

#[tokio::test]
async fn a_snapshot_that_was_saved_is_the_same_when_it_is_opened() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("my.vtsnap");
    made("x = [0] * 3_000_000; x[-1] = 7").await.save(&path).unwrap();
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let snapshot = Snapshot::open(common::python(), &path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(printed(&snapshot, "print(sum(x), len(x))").await, "7 3000000\n");
    let missing = folder.path().join("no/my.vtsnap");
    assert!(matches!(snapshot.save(&missing), Err(Error::Save { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// All of it has drawn already when the snapshot is made.
const DRAWN: &str = "import multiprocessing.process, os, random, secrets, ssl, tempfile, uuid
random.seed(1); random.random(); random.gauss(0, 1)
ssl.RAND_bytes(16); secrets.token_hex(); os.urandom(4)
uuid.uuid1(); uuid.uuid4()
names = tempfile._get_candidate_names(); next(names)
import time; time.time()
del names";

#[tokio::test]
async fn what_was_drawn_before_is_renewed_in_each_sandbox() {
    let snapshot = made(DRAWN).await;
    for code in [
        "print(random.random())",
        "print(random.gauss(0, 1))",
        "print(random.Random().random())",
        "print(uuid.uuid1())",
        "print(uuid.getnode())",
        "print(uuid.uuid4())",
        "print(secrets.token_hex())",
        "print(os.urandom(16))",
        "print(ssl.RAND_bytes(16))",
        "print(next(tempfile._get_candidate_names()))",
        "print(bytes(multiprocessing.process.current_process().authkey))",
        "print(time.time_ns())",
    ] {
        let (first, second) = (printed(&snapshot, code).await, printed(&snapshot, code).await);
        assert_ne!(first, second, "{code}");
    }
}

#[tokio::test]
async fn what_belongs_to_a_run_is_that_run_s() {
    let mut making = builder();
    making.env("MADE", "1").cwd("/made");
    let source = "import os, sys\nassert os.environ['MADE'] and os.getcwd() == '/made'
assert not sys.stdin.read()\nos.chdir('/usr/lib/vtwasm')\nsys.path.append('/made')";
    let snapshot = Snapshot::make(&mut making, "prepare.py", source).await.unwrap();
    let code = "print(dict(os.environ), os.getcwd(), '/made' in sys.path, sys.stdin.read())";
    let mut own = program(&snapshot, code);
    own.env("A", "b")
        .cwd("/here")
        .stdin(vtwasm::Input::Bytes(b"input".to_vec()));
    assert_eq!(
        common::text(&run(&mut own).await.stdout),
        "{'A': 'b', 'PWD': '/here'} /here False input\n"
    );
    assert_eq!(printed(&snapshot, code).await, "{} / False \n");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused_with_its_reason() {
    for (source, reason) in [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("import no_such_module", "No module named 'no_such_module'"),
        ("x = (", "SyntaxError"),
        ("raise SystemExit('not today')", "not today"),
        ("import os; os._exit(3)", "exit code 3"),
        ("a\0b", "null bytes"),
        (
            "import threading\nt = threading.Thread(target=threading.Event().wait, daemon=True); t.start()",
            "threads still alive: 1",
        ),
        (
            "from concurrent.futures import ThreadPoolExecutor as P\np = P(); p.submit(int)",
            "threads still alive: 1",
        ),
        ("import socket; s = socket.socket()", "is open"),
        ("import os; r, w = os.pipe()", "is open"),
        ("f = open('/usr/lib/vtwasm/python313.zip', 'rb')", "is open"),
        ("import sys; sys.stdout.close()", "closed file"),
    ] {
        let refused = refused(source).await;
        assert!(refused.contains(reason), "{source}: {refused}");
    }
    assert!(
        refused("x = 1\nprint('é', x / 0)")
            .await
            .contains("no snapshot was made")
    );
}

#[tokio::test]
async fn threads_and_files_that_have_ended_leave_nothing() {
    let source = "import threading, socket
threads = [threading.Thread(target=sorted, args=[[1]]) for _ in range(50)]
[t.start() for t in threads]; [t.join() for t in threads]
with open('/usr/lib/vtwasm/python313.zip', 'rb') as f: f.read(4)
a, b = socket.socketpair(); a.close(); b.close()
raise SystemExit";
    let snapshot = made(source).await;
    let code = "t = threading.Thread(target=print, args=['thread']); t.start(); t.join(); print(threading.active_count())";
    assert_eq!(printed(&snapshot, code).await, "thread\n1\n");
}

#[tokio::test]
async fn the_limits_hold_while_it_is_made() {
    let mut making = builder();
    let mut limits = Limits::default();
    limits.wall_time = Some(Duration::from_millis(300));
    making.limits(limits);
    let ended = Snapshot::make(&mut making, "prepare.py", "while True: pass").await;
    let Err(Error::NoSnapshot { outcome, .. }) = ended else {
        panic!("it is ended");
    };
    assert_eq!(outcome, Outcome::LimitHit(Limit::WallTime));
}

#[tokio::test]
async fn folders_must_be_mounted_as_they_were() {
    let (first, second) = (tempdir().unwrap(), tempdir().unwrap());
    for folder in [&first, &second] {
        fs::create_dir(folder.path().join("pack")).unwrap();
        fs::write(folder.path().join("pack/__init__.py"), "").unwrap();
        fs::write(folder.path().join("pack/late.py"), "x = 5").unwrap();
    }
    let site = "/usr/lib/python3.13/site-packages";
    let mut making = builder();
    making.mount(first.path(), site, Access::Read).unwrap();
    let snapshot = Snapshot::make(&mut making, "prepare.py", "import pack")
        .await
        .unwrap();
    let mut right = program(&snapshot, "import pack.late; print(pack.late.x)");
    right.mount(first.path(), site, Access::Read).unwrap();
    assert_eq!(common::text(&run(&mut right).await.stdout), "5\n");
    let build = |mount: Option<(&std::path::Path, &str)>| {
        let mut wrong = program(&snapshot, "");
        if let Some((host, guest)) = mount {
            wrong.mount(host, guest, Access::Read).unwrap();
        }
        match wrong.build() {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        }
    };
    for mount in [None, Some((second.path(), site)), Some((first.path(), "/other"))] {
        assert!(build(mount).contains("not mounted so"), "{mount:?}");
    }
    let parent = first.path().parent().unwrap();
    let inside = Some((parent, "/usr/lib/python3.13"));
    assert!(build(inside).contains("not mounted so"));
}

#[tokio::test]
async fn what_a_started_interpreter_cannot_do_is_refused() {
    let snapshot = made("").await;
    for flag in ["-O", "-S", "-u", "-v", "-Xdev", "-Werror"] {
        let mut builder = builder();
        builder.snapshot(&snapshot).args(["python3", flag, "-c", "pass"]);
        assert!(matches!(builder.build(), Err(Error::Snapshot(_))), "{flag}");
    }
    let mut seeded = program(&snapshot, "");
    assert!(matches!(
        seeded.env("PYTHONHASHSEED", "1").build(),
        Err(Error::Snapshot(_))
    ));
    let mut making = builder();
    making.env("PYTHONHASHSEED", "1");
    assert!(Snapshot::make(&mut making, "x", "").await.is_err());
    let mut making = builder();
    making.args(["python3", "-c", "pass"]);
    assert!(Snapshot::make(&mut making, "x", "").await.is_err());
    let mut isolated = builder();
    isolated
        .snapshot(&snapshot)
        .args(["python3", "-I", "-c", "import sys; print(sys.flags.isolated)"]);
    assert_eq!(common::text(&run(&mut isolated).await.stdout), "1\n");
}

/// A file whose checksum is right, as whoever means harm would make it.
#[tokio::test]
async fn memory_that_was_damaged_on_purpose_harms_only_its_sandbox() {
    use sha2::{Digest, Sha256};
    let folder = tempdir().unwrap();
    let path = folder.path().join("my.vtsnap");
    made("x = 1").await.save(&path).unwrap();
    let good = fs::read(&path).unwrap();
    let mut limits = Limits::default();
    limits.wall_time = Some(Duration::from_millis(500));
    limits.memory = 256 << 20;
    let mut opened = 0;
    for round in 0..24_usize {
        let mut bytes = good.clone();
        // Behind the header; every so many bytes, one is another.
        let step = 257 << (round % 12);
        for at in (4096 + round * 131..bytes.len()).step_by(step) {
            bytes[at] = bytes[at].wrapping_add(round as u8 | 1);
        }
        let sum = Sha256::digest(&bytes[60..]);
        bytes[28..60].copy_from_slice(&sum);
        fs::write(&path, &bytes).unwrap();
        let Ok(snapshot) = Snapshot::open(common::python(), &path) else {
            continue; // where its pages go was hit
        };
        opened += 1;
        let mut damaged = program(&snapshot, "print(x)");
        damaged.limits(limits.clone());
        // However it ends.
        drop(damaged.build().unwrap().run().await);
    }
    assert!(opened >= 6, "{opened}");
    fs::write(&path, &good).unwrap();
    let snapshot = Snapshot::open(common::python(), &path).unwrap();
    assert_eq!(printed(&snapshot, "print(x)").await, "1\n");
}

#[tokio::test]
async fn a_file_that_was_opened_before_is_checked_again_when_somebody_wrote_to_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("my.vtsnap");
    made("x = 'before'").await.save(&path).unwrap();
    for _ in 0..2 {
        let snapshot = Snapshot::open(common::python(), &path).unwrap();
        assert_eq!(printed(&snapshot, "print(x)").await, "before\n");
    }
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    let error = Snapshot::open(common::python(), &path)
        .err()
        .map(|error| error.to_string());
    assert!(error.is_some_and(|error| error.contains("changed")));
    made("x = 'after'").await.save(&path).unwrap();
    let snapshot = Snapshot::open(common::python(), &path).unwrap();
    assert_eq!(printed(&snapshot, "print(x)").await, "after\n");
}

#[test]
fn a_file_that_is_no_snapshot_is_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("my.vtsnap");
    let problem = || match Snapshot::open(common::python(), &path) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it is opened"),
    };
    assert!(problem().contains("No such file"));
    fs::write(&path, b"").unwrap();
    assert!(problem().contains("truncated"));
    fs::write(&path, b"print('hello')\n").unwrap();
    assert!(problem().contains("no snapshot"));
    let huge = fs::File::create(&path).unwrap();
    huge.set_len(5 << 30).unwrap();
    assert!(problem().contains("no file that vtwasm has written"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(problem().contains("no file that vtwasm has written"));
}
