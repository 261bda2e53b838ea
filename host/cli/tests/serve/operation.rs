//! What docs/operations.md tells an operator to do, done: a backup while it works, another key; and a body that no memory has
//! room for.

use super::{Database, LIMIT, Process, finish, postgres, signal};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

impl Process {
    fn leave(mut self) {
        signal(self.child.id(), "TERM");
        assert!(self.child.wait().unwrap().success());
    }
}

fn done(command: &mut Command) -> String {
    let finished = finish(command, b"", LIMIT).unwrap();
    assert!(finished.status.success(), "{command:?}: {}", finished.stderr);
    finished.stdout
}

/// Ends what goes on while something is done, however that ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Jobs that leave files and results are submitted without an end while `back_up` works; then a service is started from
/// what that names, and each job that it knows comes to its end with what belongs to it.
fn a_service_starts_from_the_copy(database: &Database, flags: &[&str], back_up: impl Fn() -> Vec<String>) {
    let service = Process::start(&database.address, flags);
    let secret = ["secret", "set", "WORD"];
    let set = finish(&mut service.command(&secret), b"correct horse", LIMIT).unwrap();
    assert!(set.status.success(), "{}", set.stderr);
    let code = "import os\nopen('/output/x', 'w').write(os.environ['VTWASM_JOB'])\ndef main(): return len(os.environ['WORD'])";
    let submit = ["job", "submit", "-c", code, "--secret=WORD"];
    let before = service.ask(&submit);
    service.over(&before);
    let is_over = AtomicBool::new(false);
    let copy = std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    service.ask(&submit);
                }
            });
        }
        let _ends = Ends(&is_over);
        back_up()
    });
    let copy: Vec<&str> = copy.iter().map(String::as_str).collect();
    let token = service.token.clone();
    service.kill();
    let again = Process::start_again(copy[0], &token, &copy[1..]);
    let known = again.ask(&["job", "list", "--limit=1000"]);
    let ids: Vec<&str> = known
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(ids.contains(&before.as_str()), "{known}");
    for id in ids.iter().filter(|id| id.starts_with("job_")) {
        let job = again.over(id);
        assert_eq!(job["state"], "SUCCESS", "{job}");
        assert_eq!(again.ask(&["job", "result", id]), "13");
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("files");
        again.ask(&["job", "files", id, "--to", to.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(to.join("x")).unwrap(), *id);
    }
}

#[test]
fn a_service_starts_from_a_copy_of_sqlite_that_was_made_while_it_worked() {
    let database = Database::sqlite();
    let copy = tempfile::tempdir().unwrap();
    let at = |name: &str| copy.path().join(name).to_str().unwrap().to_owned();
    a_service_starts_from_the_copy(&database, &[], || {
        let file = Path::new(&database.address);
        // What the program sqlite3 does with these words.
        let words =
            "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])";
        let to = at("jobs.db");
        done(Command::new("python3").args(["-c", words, &database.address, &to]));
        let files = file.with_extension("files").join("kept");
        std::fs::create_dir(at("jobs.files")).unwrap();
        done(Command::new("cp").arg("-a").arg(files).arg(at("jobs.files/kept")));
        std::fs::copy(file.with_extension("key"), at("jobs.key")).unwrap();
        vec![to]
    });
}

#[test]
fn a_service_starts_from_a_copy_of_postgresql_that_was_made_while_it_worked() {
    if Command::new("pg_dump").arg("--version").output().is_err() {
        eprintln!("skipped: there is no pg_dump; Debian has it in postgresql-client");
        return;
    }
    let server = postgres::Server::start();
    let database = Database {
        address: server.address(),
        _folder: tempfile::tempdir().unwrap(),
    };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("key"), "5e".repeat(32)).unwrap();
    let (key, files) = (
        format!("--secret-key-file={}", at("key")),
        format!("--files={}", at("files")),
    );
    a_service_starts_from_the_copy(&database, &[&key, &files], || {
        let (server, _) = database.address.rsplit_once('/').unwrap();
        let (dump, other) = (at("dump"), format!("{server}/jobs2"));
        let from = format!("--dbname={}", database.address);
        done(Command::new("pg_dump").args(["--format=custom", "--file", &dump, &from]));
        let make = "CREATE DATABASE jobs2";
        done(Command::new("psql").args(["--quiet", "--command", make, &database.address]));
        let to = format!("--dbname={other}");
        done(Command::new("pg_restore").args(["--no-owner", &to, &dump]));
        std::fs::create_dir(at("copy")).unwrap();
        done(Command::new("cp").args(["-a", &at("files/kept"), &at("copy/kept")]));
        vec![other, key.clone(), format!("--files={}", at("copy"))]
    });
}

#[test]
fn secrets_are_sealed_anew_when_the_key_changes() {
    let database = Database::sqlite();
    let folder = tempfile::tempdir().unwrap();
    let flag = |flag: &str, name: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, name.repeat(64)).unwrap();
        format!("--{flag}={}", file.display())
    };
    let service = Process::start(&database.address, &[&flag("secret-key-file", "a")]);
    let token = service.token.clone();
    let secret = ["secret", "set", "WORD"];
    let set = finish(&mut service.command(&secret), b"correct horse", LIMIT).unwrap();
    assert!(set.status.success(), "{}", set.stderr);
    service.leave();
    let run = |flags: &[&str]| -> Value {
        let service = Process::start_again(&database.address, &token, flags);
        let code = "import os\ndef main(): return os.environ['WORD']";
        let id = service.ask(&["job", "submit", "-c", code, "--secret=WORD"]);
        let job = service.over(&id);
        service.leave();
        job
    };
    let (new, old) = (flag("secret-key-file", "b"), flag("old-secret-key-file", "a"));
    let refused = run(&[&new]);
    assert_eq!(refused["error"], "another key has sealed the secret WORD");
    assert_eq!(run(&[&new, &old])["state"], "SUCCESS");
    // The old one is not needed any more, nor good for anything.
    assert_eq!(run(&[&new])["state"], "SUCCESS");
    assert_eq!(run(&[&flag("secret-key-file", "a")])["state"], "FAILURE");
}

/// The most that a process had in memory, in KiB.
fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const GIBIBYTE: usize = 1 << 30;

#[test]
fn a_body_of_a_gibibyte_is_refused_at_once_and_is_never_in_memory() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &["--role=api"]);
    service.ask(&["job", "list"]);
    let address = service.server.strip_prefix("http://").unwrap();
    let before = peak(&service);
    for (request, length, status) in [
        ("POST /v1/jobs", format!("content-length: {GIBIBYTE}"), "413"),
        ("POST /v1/jobs", "transfer-encoding: chunked".to_owned(), "413"),
        (
            "PUT /v1/files",
            format!("content-length: {}", GIBIBYTE + 1),
            "429",
        ),
        ("GET /v1/jobs", format!("content-length: {GIBIBYTE}"), "200"),
        ("POST /v1/nothing", format!("content-length: {GIBIBYTE}"), "404"),
    ] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{length}\r\n\r\n",
            service.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut piece = vec![b' '; 1 << 20];
        if length.ends_with("chunked") {
            piece = [b"100000\r\n".as_slice(), &piece, b"\r\n"].concat();
        }
        // Some clients read nothing before all is sent; the service has answered, and need not read all of it.
        let sent = (0..GIBIBYTE >> 20)
            .take_while(|_| stream.write_all(&piece).is_ok())
            .count();
        let _ = stream.shutdown(Shutdown::Write);
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(
            answer,
            format!("HTTP/1.1 {status}"),
            "{request} {length}, after {sent} MiB"
        );
        assert!(begun.elapsed() < LIMIT, "{request}: {:?}", begun.elapsed());
    }
    let grown = peak(&service).saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more in memory");
}
