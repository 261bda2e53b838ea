//! Runs one program and prints what it printed.

mod common;

use vtwasm::{Output, Result, Sandbox};

#[tokio::main]
async fn main() -> Result<()> {
    let report = Sandbox::builder(&common::python()?)
        .args([
            "python3",
            "-c",
            "import sys; print('hello from Python', sys.version)",
        ])
        .stdout(Output::Capture)
        .build()?
        .run()
        .await?;
    print!("{}", String::from_utf8_lossy(&report.stdout));
    println!("{:?}, {:?}", report.outcome, report.usage);
    Ok(())
}
