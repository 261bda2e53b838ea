//! How long a run goes on after it was killed or dropped: `cancel ARTIFACT [ROUNDS]` ends runs that compute, wait, or
//! hold 10,000 threads, and prints the longest and the median time of each as JSON.

use std::time::{Duration, Instant};
use vtwasm::{Artifact, Engine, Outcome, Output, Python, Sandbox};

const PROGRAMS: [(&str, &str); 3] = [
    ("computing", "print('ready', flush=True)\nwhile True: pass"),
    (
        "waiting",
        "import time\nprint('ready', flush=True)\ntime.sleep(3600)",
    ),
    (
        "threads",
        "import threading, time
for _ in range(10_000): threading.Thread(target=time.sleep, args=(3600,)).start()
print('ready', flush=True)",
    ),
];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let rounds = args.get(2).map_or(Ok(15), |rounds| rounds.parse())?;
    let engine = Engine::new()?;
    let python = Python::new(&engine, &Artifact::open(args.get(1).ok_or("which artifact?")?)?)?;
    let mut figures = Vec::new();
    for (name, code) in PROGRAMS {
        for (way, by_handle) in [("kill", true), ("drop", false)] {
            let mut times = Vec::new();
            for _ in 0..rounds {
                times.push(ended(&python, code, by_handle).await?.as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
            figures.push(format!(
                r#""cancel_{name}_{way}_us": {median:.1}, "cancel_{name}_{way}_max_us": {longest:.1}"#
            ));
        }
    }
    println!("{{{}}}", figures.join(", "));
    Ok(())
}

/// From the wish to the end, with all that the sandbox had given back but the last of its stacks.
async fn ended(python: &Python, code: &str, by_handle: bool) -> Result<Duration, Box<dyn std::error::Error>> {
    let sandbox = Sandbox::builder(python)
        .args(["python3", "-c", code])
        .stdout(Output::Capture)
        .build()?;
    let handle = sandbox.handle();
    let running = tokio::spawn(sandbox.run());
    while handle.usage().output == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun = Instant::now();
    if by_handle {
        handle.kill();
        assert_eq!(running.await??.outcome, Outcome::Killed);
    } else {
        running.abort();
        assert!(running.await.is_err());
    }
    Ok(begun.elapsed())
}
