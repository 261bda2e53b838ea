//! What a session costs that waits: `idle ARTIFACT [SESSIONS [THREADS]]` starts them, lets threads in each of
//! them sleep, and prints as JSON what that took of memory (beyond the image that they share) and time.

use std::time::Instant;
use vtwasm::{Artifact, Engine, Python, Sandbox, Session};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize, default| args.get(index).map_or(Ok(default), |arg| arg.parse::<usize>());
    let (sessions, threads) = (number(2, 1000)?, number(3, 10)?);
    let engine = Engine::for_short_runs()?;
    let python = Python::new(&engine, &Artifact::open(args.get(1).ok_or("which artifact?")?)?)?;
    let sleepers = format!(
        "import threading, time\nfor _ in range({threads}):
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()"
    );
    // What the first one needs, the others share.
    let mut live = vec![start(&python, &sleepers).await?];
    let (began, before) = (Instant::now(), private()?);
    for _ in 0..sessions {
        live.push(start(&python, &sleepers).await?);
    }
    let seconds = began.elapsed().as_secs_f64();
    let each = (private()? - before) / sessions as f64;
    let asked = Instant::now();
    for session in &live {
        let alive: i64 = session.eval("threading.active_count()").await?.try_into()?;
        assert!(alive as usize > threads, "{alive} threads are alive");
    }
    let ask = asked.elapsed().as_secs_f64() / live.len() as f64;
    println!(
        r#"{{"idle_session_kib": {each:.1}, "idle_sessions_s": {seconds:.2}, "idle_session_call_us": {:.1}}}"#,
        ask * 1e6
    );
    Ok(())
}

async fn start(python: &Python, code: &str) -> Result<Session, Box<dyn std::error::Error>> {
    let session = Session::start(&mut Sandbox::builder(python))?;
    session.exec(code).await?;
    Ok(session)
}

/// KiB that only this process has, with its page tables.
fn private() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let fields = ["RssAnon:", "RssShmem:", "VmPTE:"].map(field);
    Ok(fields
        .into_iter()
        .map(|field| field.ok_or("no such field in /proc/self/status"))
        .sum::<Result<_, _>>()?)
}
