//! What the tests of the library share. They need the artifact: `cargo xtask test` sets `VTWASM_PYTHON`.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::sync::LazyLock;
use std::time::Duration;
use vtwasm::{Artifact, Builder, Engine, Output, Python, Report, Sandbox};

static PYTHON: LazyLock<Python> = LazyLock::new(|| {
    let dir = std::env::var_os("VTWASM_PYTHON").expect("VTWASM_PYTHON is set; run `cargo xtask test`");
    Python::new(&Engine::new().unwrap(), &Artifact::open(dir).unwrap()).unwrap()
});

pub fn python() -> &'static Python {
    &PYTHON
}

/// A program whose output is captured.
pub fn program(code: &str) -> Builder {
    let mut builder = Sandbox::builder(&PYTHON);
    builder
        .args(["python3", "-c", code])
        .stdout(Output::Capture)
        .stderr(Output::Capture);
    builder
}

pub async fn run(builder: &mut Builder) -> Report {
    let report = tokio::time::timeout(Duration::from_secs(120), builder.build().unwrap().run());
    report.await.expect("the run ends").unwrap()
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
