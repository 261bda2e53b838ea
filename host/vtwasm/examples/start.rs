//! How long a new sandbox takes from its builder to its report, and whether memory grows after the first
//! quarter: `start ARTIFACT [CODE [RUNS [PREPARE]]]`, as JSON. With PREPARE each starts from a snapshot in which
//! that code has run.

use std::time::{Duration, Instant};
use vtwasm::{Artifact, Engine, Output, Python, Sandbox, Snapshot};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let code = args.get(2).map_or("pass", String::as_str);
    let runs = args.get(3).map_or(Ok(2000), |runs| runs.parse())?;
    let engine = Engine::for_short_runs()?;
    let python = Python::new(&engine, &Artifact::open(args.get(1).ok_or("which artifact?")?)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let snapshot = args.get(4).map(|prepare| {
        let mut builder = Sandbox::builder(&python);
        runtime.block_on(Snapshot::make(&mut builder, "<prepare>", prepare))
    });
    let snapshot = snapshot.transpose()?;
    // Of its full size from the start: it must not count as growth.
    let mut times = vec![Duration::MAX; runs];
    let mut settled = 0;
    for (run, time) in times.iter_mut().enumerate() {
        if run == runs / 4 {
            settled = resident()?;
        }
        let begin = Instant::now();
        let mut builder = Sandbox::builder(&python);
        if let Some(snapshot) = &snapshot {
            builder.snapshot(snapshot);
        }
        let sandbox = builder
            .args(["python3", "-c", code])
            .stdout(Output::Capture)
            .build()?;
        let report = runtime.block_on(sandbox.run())?;
        drop(std::hint::black_box(report));
        *time = begin.elapsed();
    }
    let growth = resident()?.saturating_sub(settled);
    times.sort_unstable();
    let sum: Duration = times.iter().sum();
    let micros = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1e3;
    println!(
        r#"{{"sandbox_p50_us": {:.1}, "sandbox_p99_us": {:.1}, "sandbox_each_us": {:.1}, "sandbox_growth_kib": {}}}"#,
        micros(0.5),
        micros(0.99),
        sum.as_secs_f64() * 1e6 / runs as f64,
        growth,
    );
    Ok(())
}

/// KiB of memory that this process has.
fn resident() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}
