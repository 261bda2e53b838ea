//! The network: what the flags take and refuse.

use std::process::Command;

use insta::assert_snapshot;

use crate::{end, run_code, vtwasm};

#[test]
fn rubbish_is_refused_with_what_was_expected() {
    let shown = |flag: &str| run_code(&[flag], "pass").shown("");
    assert_snapshot!(shown("--allow-net=https://example.org/"), @"");
    assert_snapshot!(shown("--allow-net=*.example.org"), @"");
    assert_snapshot!(shown("--allow-net=10.0.0.5/8"), @"");
    assert_snapshot!(shown("--allow-net=localhost:0"), @"");
    assert_snapshot!(shown("--allow-net=localhost,"), @"");
    assert_snapshot!(shown("--allow-net="), @"");
    assert_snapshot!(shown("--listen=8080"), @"");
    assert_snapshot!(shown("--listen=example.org:80"), @"");
    assert_snapshot!(shown("--listen=127.0.0.1:99999"), @"");
    assert_snapshot!(shown("--max-sockets=0"), @"");
}

#[test]
fn every_form_of_a_rule_is_taken() {
    let rules = "example.org,example.org:443,10.0.0.0/8:5432,[::1]:80,fd00::/8,*:443,localhost:8000-8010";
    let allow = format!("--allow-net={rules}");
    let flags = [
        &allow,
        "--allow-net",
        "--listen",
        "--listen=0.0.0.0:80,[::]:0,*:1-9",
        "--max-sockets=100",
    ];
    assert_eq!(run_code(&flags, "print('runs')").printed(), "runs\n");
}

#[test]
fn more_sockets_than_descriptors_are_refused() {
    let vtwasm = vtwasm();
    let shell = |command: &str| {
        let program = vtwasm.get_program().to_str().unwrap();
        end(Command::new("sh").args(["-c", &format!("ulimit -n 300; {program} {command}")]))
    };
    assert_snapshot!(shell("run --max-sockets 300 -c pass").shown(""), @"");
    // Without a wish there are as many as can be.
    assert_eq!(shell("run -c pass").printed(), "");
    let doctor = shell("doctor");
    let told = doctor.printed().lines().find(|line| line.starts_with("sockets"));
    assert_snapshot!(told.unwrap_or("nothing"), @"");
}
