//! How long a new sandbox takes from its builder to its report: `start ARTIFACT [CODE [RUNS]]`.

use std::time::{Duration, Instant};
use vtwasm::{Artifact, Engine, Output, Python, Sandbox};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let code = args.get(2).map_or("pass", String::as_str);
    let runs = args.get(3).map_or(Ok(2000), |runs| runs.parse())?;
    let engine = Engine::for_short_runs()?;
    let python = Python::new(&engine, &Artifact::open(args.get(1).ok_or("which artifact?")?)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        let begin = Instant::now();
        let sandbox = Sandbox::builder(&python)
            .args(["python3", "-c", code])
            .stdout(Output::Capture)
            .build()?;
        let report = runtime.block_on(sandbox.run())?;
        drop(std::hint::black_box(report));
        times.push(begin.elapsed());
    }
    times.sort();
    let sum: Duration = times.iter().sum();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!(
        "{runs} runs: fastest {:?}, p50 {:?}, p99 {:?}, {:.0} a second",
        times[0],
        at(0.5),
        at(0.99),
        runs as f64 / sum.as_secs_f64()
    );
    Ok(())
}
