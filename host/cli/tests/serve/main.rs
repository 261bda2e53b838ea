//! `vtwasm serve` as processes, which are killed: on SQLite and on PostgreSQL.

mod client;
mod events;
mod operation;
#[path = "../../../server/tests/suite/postgres.rs"]
mod postgres;
mod storm;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "not every test uses all of it")]
mod support;

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{finish, signal, vtwasm};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(60);

/// A process of the service.
struct Process {
    child: Child,
    server: String,
    token: String,
}

impl Process {
    /// The first one on a database, which prints the first tenant's token.
    fn start(database: &str, flags: &[&str]) -> Process {
        Process::start_again(database, "", flags).with_first_token()
    }

    fn with_first_token(mut self) -> Process {
        let mut line = String::new();
        let mut printed = BufReader::new(self.child.stdout.take().unwrap());
        printed.read_line(&mut line).unwrap();
        line.trim()
            .trim_start_matches("VTWASM_TOKEN=")
            .clone_into(&mut self.token);
        self
    }

    fn start_again(database: &str, token: &str, flags: &[&str]) -> Process {
        Process::spawn(
            database,
            token,
            &[&["--lease=1500ms", "--slots=4"], flags].concat(),
        )
    }

    fn spawn(database: &str, token: &str, flags: &[&str]) -> Process {
        let mut command = vtwasm();
        command
            .args(["serve", "--listen=127.0.0.1:0", "--database", database])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        let server = line.trim().rsplit(' ').next().unwrap().to_owned();
        assert!(server.starts_with("http://"), "{line}");
        std::thread::spawn(move || talk.read_to_end(&mut Vec::new()));
        Process {
            child,
            server,
            token: token.to_owned(),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = vtwasm();
        command
            .args(words)
            .env("VTWASM_SERVER", &self.server)
            .env("VTWASM_TOKEN", &self.token);
        command
    }

    /// What a command of the client prints.
    fn ask(&self, words: &[&str]) -> String {
        let finished = finish(&mut self.command(words), b"", LIMIT).unwrap();
        assert!(finished.status.success(), "{words:?}: {}", finished.stderr);
        finished.stdout.trim().to_owned()
    }

    fn job(&self, id: &str) -> Value {
        serde_json::from_str(&self.ask(&["job", "get", id])).unwrap()
    }

    fn when(&self, id: &str, is: impl Fn(&str) -> bool) -> Value {
        let end = Instant::now() + LIMIT;
        loop {
            let job = self.job(id);
            if is(job["state"].as_str().unwrap()) {
                return job;
            }
            assert!(Instant::now() < end, "{job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn over(&self, id: &str) -> Value {
        self.when(id, |state| ["SUCCESS", "FAILURE", "REVOKED"].contains(&state))
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A database of a test's own.
struct Database {
    address: String,
    _folder: TempDir,
}

impl Database {
    fn sqlite() -> Database {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("a b%20c?.db").to_str().unwrap().to_owned();
        Database {
            address,
            _folder: folder,
        }
    }

    fn postgres() -> Database {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let address = runtime.block_on(postgres::database());
        Database {
            address,
            _folder: tempfile::tempdir().unwrap(),
        }
    }
}

fn a_job_whose_worker_is_killed_in_the_middle_ends_once_on_another(database: &Database) {
    let api = Process::start(&database.address, &["--role=api"]);
    let first = Process::start_again(&database.address, "", &["--role=worker"]);
    let code = "import os, time\nprint('attempt', os.environ['VTWASM_ATTEMPT'])\ntime.sleep(2)\ndef main(): return 'done'";
    let id = api.ask(&["job", "submit", "-c", code]);
    api.when(&id, |state| state == "STARTED");
    std::thread::sleep(Duration::from_millis(300));
    first.kill();
    let _second = Process::start_again(&database.address, "", &["--role=worker"]);
    let job = api.over(&id);
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"SUCCESS".into(), &2.into()),
        "{job}"
    );
    assert_eq!(api.ask(&["job", "logs", &id]), "attempt 1\nattempt 2");
    assert_eq!(api.ask(&["job", "result", &id]), "\"done\"");
}

fn no_job_is_lost_while_processes_are_killed(database: &Database) {
    let mut all = Process::start(&database.address, &[]);
    let token = all.token.clone();
    let mut ids = Vec::new();
    for _ in 0..2 {
        for n in 0..10 {
            let code = format!("import time; time.sleep(0.1)\ndef main(): return {n}");
            ids.push((n, all.ask(&["job", "submit", "-c", &code])));
        }
        // In the middle of jobs, and of anything else.
        all.kill();
        Process::start_again(&database.address, "", &["--role=worker"]).kill();
        all = Process::start_again(&database.address, &token, &[]);
    }
    for (n, id) in &ids {
        let job = all.over(id);
        assert_eq!(job["state"], "SUCCESS", "{job}");
        assert_eq!(all.ask(&["job", "result", id]), n.to_string());
    }
}

fn a_process_that_is_to_leave_ends_what_runs_and_loses_nothing(database: &Database) {
    let mut first = Process::start(&database.address, &[]);
    let running = first.ask(&[
        "job",
        "submit",
        "-c",
        "import time\ntime.sleep(1)\nprint('whole')",
    ]);
    first.when(&running, |state| state == "STARTED");
    let begun = Instant::now();
    signal(first.child.id(), "TERM");
    let token = first.token.clone();
    let status = first.child.wait().unwrap();
    assert!(status.success(), "{status}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let second = Process::start_again(&database.address, &token, &[]);
    let job = second.job(&running);
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"SUCCESS".into(), &1.into()),
        "{job}"
    );
    assert_eq!(second.ask(&["job", "logs", &running]), "whole");
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test(&super::Database::sqlite());
            })*
        }
        mod postgresql {
            $(#[test]
            fn $test() {
                super::$test(&super::Database::postgres());
            })*
        }
    };
}

on_both! {
    a_job_whose_worker_is_killed_in_the_middle_ends_once_on_another
    no_job_is_lost_while_processes_are_killed
    a_process_that_is_to_leave_ends_what_runs_and_loses_nothing
}

#[test]
fn every_job_ends_once_while_processes_on_sqlite_are_killed() {
    storm::every_job_ends_once_while_processes_and_the_database_are_killed(&Database::sqlite(), None);
}

#[test]
fn every_job_ends_once_while_processes_and_postgresql_are_killed() {
    let server = postgres::Server::start();
    let database = Database {
        address: server.address(),
        _folder: tempfile::tempdir().unwrap(),
    };
    storm::every_job_ends_once_while_processes_and_the_database_are_killed(&database, Some(server));
}

#[test]
fn a_job_is_submitted_followed_listed_and_asked_for_by_commands() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &[]);
    let submit = |words: &[&str]| {
        let mut command = service.command(&["job", "submit"]);
        finish(command.args(words), b"print('from stdin')", LIMIT).unwrap()
    };
    let followed = submit(&["-", "--follow"]);
    assert_eq!(
        (followed.stdout.as_str(), followed.status.code()),
        ("from stdin\n", Some(0)),
        "{}",
        followed.stderr
    );
    let failed = submit(&["-c", "while True: pass", "--cpu-time=200ms", "-f"]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(
        failed
            .stderr
            .ends_with("job: FAILURE: it hit its limit of CPU time\n"),
        "{}",
        failed.stderr
    );
    let one = submit(&[
        "-c",
        "def main(a, b=2): return [a, b]",
        "--arguments={\"a\": 1}",
        "--key=k",
    ])
    .stdout;
    let same = submit(&[
        "-c",
        "def main(a, b=2): return [a, b]",
        "--arguments={\"a\": 1}",
        "--key=k",
    ])
    .stdout;
    assert_eq!(one, same);
    service.over(one.trim());
    let result: Value = serde_json::from_str(&service.ask(&["job", "result", one.trim()])).unwrap();
    assert_eq!(result, serde_json::json!([1, 2]));
    assert_eq!(
        service.ask(&["job", "list", "--state=SUCCESS"]).lines().count(),
        2
    );
    let long = submit(&["-c", "import time; time.sleep(100)"]).stdout;
    let said = service.ask(&["job", "cancel", long.trim()]);
    assert!(
        ["REVOKED", "STARTED, its end was asked for"].contains(&said.as_str()),
        "{said}"
    );
    assert_eq!(service.over(long.trim())["state"], "REVOKED");
    assert_eq!(service.ask(&["job", "retry", long.trim()]), "PENDING");
}

#[test]
fn files_go_to_a_job_and_come_back_by_commands() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &[]);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // In several pieces, and with bytes that are no text.
    let large = (0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>();
    std::fs::write(at("large"), &large).unwrap();
    std::fs::write(at("make.py"), "import zipfile\nwith zipfile.ZipFile('/output/app.zip', 'w') as zip:\n    zip.writestr('app.py', 'def run(name):\\n    data = open(f\"/input/{name}\", \"rb\").read()\\n    open(\"/output/copy\", \"wb\").write(data)\\n    return len(data)')").unwrap();
    let made = service.ask(&["job", "submit", &at("make.py")]);
    service.over(&made);
    service.ask(&["job", "files", &made, "--to", &at("made/here")]);
    let bundle = at("made/here/app.zip");
    let data = format!("--file=a b/x={}", at("large"));
    let arguments = "--arguments=[\"a b/x\"]";
    let id = service.ask(&["job", "submit", &bundle, "--entry=app:run", &data, arguments]);
    let job = service.over(&id);
    assert_eq!(job["state"], "SUCCESS", "{job}");
    assert_eq!(service.ask(&["job", "result", &id]), "1200000");
    let listed = service.ask(&["job", "files", &id]);
    let (hash, rest) = listed.split_once("  ").unwrap();
    assert_eq!(rest, "1200000  copy");
    service.ask(&["file", "get", hash, "-o", &at("back")]);
    assert!(std::fs::read(at("back")).unwrap() == large);
    assert!(service.ask(&["file", "put", &at("large")]).starts_with(hash));
    assert_eq!(service.ask(&["file", "list"]).lines().count(), 2);
    let mut remove = service.command(&["file", "remove", hash]);
    let refused = finish(&mut remove, b"", LIMIT).unwrap();
    assert!(refused.stderr.contains("has this file"), "{}", refused.stderr);
}

#[test]
fn what_a_command_cannot_do_is_said_with_what_to_do_next() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &["--role=api"]);
    let fails = |command: &mut Command| {
        let finished = finish(command, b"", LIMIT).unwrap();
        assert!(!finished.status.success());
        finished.stderr
    };
    let said = fails(service.command(&["job", "list"]).env("VTWASM_TOKEN", "vt_wrong"));
    assert_eq!(said, "error: this token is unknown, or it has ended\n");
    let said = fails(service.command(&["job", "list"]).env("VTWASM_TOKEN", ""));
    assert!(said.contains("hint: set VTWASM_TOKEN"), "{said}");
    let said = fails(
        service
            .command(&["job", "list"])
            .env("VTWASM_SERVER", "https://127.0.0.1"),
    );
    assert!(said.contains("speaks no TLS"), "{said}");
    let said = fails(
        service
            .command(&["job", "list"])
            .env("VTWASM_SERVER", "http://127.0.0.1:1"),
    );
    assert!(said.contains("hint: start one with `vtwasm serve`"), "{said}");
    let said = fails(vtwasm().args(["serve", "--database=mysql://x/y"]));
    assert!(said.contains("no support for mysql://"), "{said}");
    let said = fails(vtwasm().args([
        "serve",
        "--listen=127.0.0.1:0",
        "--role=api",
        "--database=/proc/no/file",
    ]));
    assert!(said.contains("hint: choose another"), "{said}");
    let said = fails(vtwasm().args([
        "serve",
        "--listen=127.0.0.1:0",
        "--role=api",
        "--database=postgres://u:hidden@127.0.0.1:1/x",
    ]));
    assert!(
        said.contains("see that PostgreSQL runs") && !said.contains("hidden"),
        "{said}"
    );
}
