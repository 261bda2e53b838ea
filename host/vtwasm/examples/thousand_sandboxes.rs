//! A thousand interpreters at once, none of which knows of the others.

mod common;

use std::time::Instant;
use vtwasm::{Output, Result, Sandbox};

#[tokio::main]
async fn main() -> Result<()> {
    let python = common::python()?;
    let begun = Instant::now();
    let mut running = Vec::new();
    for n in 0..1000 {
        let code = format!("import time; time.sleep(1); print({n} ** 2)");
        let sandbox = Sandbox::builder(&python)
            .args(["python3", "-c", &code])
            .stdout(Output::Capture)
            .build()?;
        running.push(tokio::spawn(sandbox.run()));
    }
    let mut sum = 0;
    for run in running {
        let report = run.await.expect("a run does not panic")?;
        let text = String::from_utf8_lossy(&report.stdout);
        sum += text.trim().parse::<u64>().expect("a number");
    }
    println!("the sum of their squares is {sum}, in {:?}", begun.elapsed());
    Ok(())
}
