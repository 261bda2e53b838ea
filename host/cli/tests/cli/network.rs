//! The network: what the flags take and refuse.

use std::process::Command;

use insta::assert_snapshot;

use crate::{end, run_code, vtwasm};

#[test]
fn ssl_trusts_whom_the_machine_trusts_where_there_is_a_network() {
    let count = "import ssl; print(len(ssl.create_default_context().get_ca_certs()))";
    let ca = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/programs/tls_certificates/ca.pem"
    );
    let trusted = |flags: &[&str]| {
        let mut command = vtwasm();
        command.arg("run").args(flags).args(["-c", count]);
        end(command.env("SSL_CERT_FILE", ca)).stdout
    };
    assert_eq!(trusted(&[]), "0\n");
    assert_eq!(trusted(&["--allow-net=localhost"]), "1\n");
    // Its own path is not readable there.
    assert_eq!(trusted(&["--allow-net=localhost", "--allow-env"]), "1\n");
}

#[test]
fn rubbish_is_refused_with_what_was_expected() {
    let shown = |flag: &str| run_code(&[flag], "pass").shown("");
    assert_snapshot!(shown("--allow-net=https://example.org/"), @r#"
    error: --allow-net=https://example.org/: it is a URL: write only its host and port, such as example.org:443
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--allow-net=*.example.org"), @r#"
    error: --allow-net=*.example.org: a * stands for all hosts, not for a part of a name: name each host
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--allow-net=10.0.0.5/8"), @r#"
    error: --allow-net=10.0.0.5/8: "10.0.0.5/8" is no block of addresses: its address has bits beyond the prefix, or the prefix is too long
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--allow-net=localhost:0"), @r#"
    error: --allow-net=localhost:0: nothing can be reached at port 0
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--allow-net=localhost,"), @r#"
    error: --allow-net=: the host is missing: write HOST, HOST:PORT, an address, a CIDR or *:PORT
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--allow-net="), @r#"
    error: --allow-net=: the host is missing: write HOST, HOST:PORT, an address, a CIDR or *:PORT
    hint: for example --allow-net=example.org:443, --allow-net=10.0.0.0/8,localhost or --allow-net=*:443
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--listen=8080"), @r#"
    error: --listen=8080: 8080 alone is no host: write HOST:8080, such as 127.0.0.1:8080 or *:8080
    hint: for example --listen=localhost, --listen=127.0.0.1:8080 or --listen=*:8000-8999
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--listen=example.org:80"), @r#"
    error: --listen=example.org:80: expected an address of this machine, localhost or *
    hint: for example --listen=localhost, --listen=127.0.0.1:8080 or --listen=*:8000-8999
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--listen=127.0.0.1:99999"), @r#"
    error: --listen=127.0.0.1:99999: "99999" is no port: expected a number up to 65535
    hint: for example --listen=localhost, --listen=127.0.0.1:8080 or --listen=*:8000-8999
    [exit status: 2]
    "#);
    assert_snapshot!(shown("--max-sockets=0"), @r#"
    error: invalid value '0' for '--max-sockets <N>': 0 is not in 1..=1048576

    For more information, try '--help'.
    [exit status: 2]
    "#);
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
    assert_snapshot!(shell("run --max-sockets 300 -c pass").shown(""), @r#"
    error: --max-sockets 300: this process may have only 300 files open
    hint: ask for 236 at most, or raise the limit (ulimit -Hn 364, as root)
    [exit status: 2]
    "#);
    // Without a wish there are as many as can be.
    assert_eq!(shell("run -c pass").printed(), "");
    let doctor = shell("doctor");
    let told = doctor.printed().lines().find(|line| line.starts_with("sockets"));
    assert_snapshot!(told.unwrap_or("nothing"), @"sockets   236 by default, not 16384: this process may have only 300 files open (ulimit -Hn)");
}
