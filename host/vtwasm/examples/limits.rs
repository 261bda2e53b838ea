//! Programs that want too much, and how each ends.

mod common;

use std::time::Duration;
use vtwasm::{Limits, Output, Result, Sandbox};

const GREEDY: [(&str, &str); 5] = [
    ("computes", "while True: pass"),
    ("sleeps", "import time; time.sleep(3600)"),
    ("prints", "while True: print('more')"),
    ("allocates", "x = []\nwhile True: x.append(b'x' * 1_000_000)"),
    (
        "starts",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    ),
];

#[tokio::main]
async fn main() -> Result<()> {
    let python = common::python()?;
    let mut limits = Limits::default();
    limits.memory = 64 << 20;
    limits.cpu_time = Some(Duration::from_millis(500));
    limits.wall_time = Some(Duration::from_secs(2));
    limits.output = Some(10_000);
    limits.threads = 100;
    for (what, code) in GREEDY {
        let report = Sandbox::builder(&python)
            .args(["python3", "-c", code])
            .limits(limits.clone())
            .stderr(Output::Capture)
            .build()?
            .run()
            .await?;
        let stderr = String::from_utf8_lossy(&report.stderr);
        println!(
            "{what}: {:?} {}",
            report.outcome,
            stderr.lines().last().unwrap_or_default()
        );
    }
    Ok(())
}
