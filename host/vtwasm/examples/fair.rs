//! Whether one that computes for ever holds up another on the same processor: `fair ARTIFACT [JOBS]` has a session
//! do jobs of a millisecond, alone and beside such a one, and prints their times as JSON.

use std::time::{Duration, Instant};
use vtwasm::{Artifact, Engine, Python, Sandbox, Session};

/// About a millisecond.
const JOB: &str = "sum(n * n for n in range(8_000))";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let jobs = args.get(2).map_or(Ok(500), |jobs| jobs.parse())?;
    let engine = Engine::new()?;
    let python = Python::new(&engine, &Artifact::open(args.get(1).ok_or("which artifact?")?)?)?;
    let session = Session::start(&mut Sandbox::builder(&python))?;
    let alone = times(&session, jobs).await?;
    let computing = Sandbox::builder(&python)
        .args(["python3", "-c", "while True: pass"])
        .build()?;
    let handle = computing.handle();
    let computing = tokio::spawn(computing.run());
    let beside = times(&session, jobs).await?;
    handle.kill();
    computing.await??;
    let micros = |times: &[Duration], percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1e6;
    println!(
        r#"{{"fair_alone_p50_us": {:.1}, "fair_alone_p99_us": {:.1}, "fair_beside_p50_us": {:.1}, "fair_beside_p99_us": {:.1}}}"#,
        micros(&alone, 50),
        micros(&alone, 99),
        micros(&beside, 50),
        micros(&beside, 99),
    );
    Ok(())
}

/// How long each job took, in order.
async fn times(session: &Session, jobs: usize) -> vtwasm::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(jobs);
    for _ in 0..jobs {
        let begun = Instant::now();
        session.eval(JOB).await?;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    times.sort_unstable();
    Ok(times)
}
