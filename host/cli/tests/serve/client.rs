//! The client in Python (clients/python), natively and inside vtwasm.

use super::{Database, LIMIT, Process, finish, vtwasm};
use std::process::Command;

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/python");

fn passes(service: &Process, command: &mut Command) {
    let command = command
        .arg(format!("{CLIENT}/tests/test_client.py"))
        .env("VTWASM_SERVER", &service.server)
        .env("VTWASM_TOKEN", &service.token);
    let finished = finish(command, b"", 3 * LIMIT).unwrap();
    assert!(
        finished.status.success(),
        "{}{}",
        finished.stdout,
        finished.stderr
    );
    assert!(finished.stderr.contains("\nOK\n"), "{}", finished.stderr);
}

#[test]
fn the_python_client_does_all_of_it_natively() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &[]);
    passes(&service, Command::new("python3").arg("-B"));
}

#[test]
fn the_python_client_does_all_of_it_inside_vtwasm() {
    let database = Database::sqlite();
    let service = Process::start(&database.address, &[]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().display();
    let mut run = vtwasm();
    run.arg("run").args([
        &*format!("--allow-read={CLIENT}"),
        &format!("--allow-write={folder}"),
        &format!("--env=TMPDIR={folder}"),
        "--env=VTWASM_SERVER",
        "--env=VTWASM_TOKEN",
        "--allow-net=127.0.0.1",
        "--listen=127.0.0.1",
    ]);
    passes(&service, &mut run);
}
