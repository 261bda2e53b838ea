//! What a host function costs, and a session's call: `host_calls ARTIFACT`, as JSON, in microseconds.

use std::time::Instant;
use vtwasm::{Arguments, Artifact, Engine, Python, Sandbox, Session};

const CODE: &str = "
import host, threading, time

def one_thread(count):
    began = time.perf_counter()
    for number in range(count):
        host.double(number)
    return (time.perf_counter() - began) / count * 1e6

def many_threads(threads, count):
    def work():
        for number in range(count):
            host.double(number)
    all = [threading.Thread(target=work) for _ in range(threads)]
    began = time.perf_counter()
    for thread in all: thread.start()
    for thread in all: thread.join()
    return (time.perf_counter() - began) / threads / count * 1e6

def megabyte(count):
    data = b'x' * 1_000_000
    began = time.perf_counter()
    for _ in range(count):
        host.echo(data)
    return (time.perf_counter() - began) / count * 1e6
";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let artifact = std::env::args().nth(1).ok_or("which artifact?")?;
    let engine = Engine::new()?;
    let python = Python::new(&engine, &Artifact::open(artifact)?)?;
    let mut builder = Sandbox::builder(&python);
    builder
        .host_function("host", "double", |mut arguments: Arguments| async move {
            let number: i64 = arguments.required(0, "number")?;
            Ok(2 * number)
        })?
        .host_function("host", "echo", |mut arguments: Arguments| async move {
            arguments.required::<Vec<u8>>(0, "data")
        })?;
    let session = Session::start(&mut builder)?;
    session.exec(CODE).await?;
    let mut figures = Vec::new();
    for (name, call) in [
        ("host_call_us", "one_thread(20_000)"),
        ("host_call_100_threads_us", "many_threads(100, 200)"),
        ("host_call_1mb_us", "megabyte(50)"),
    ] {
        let micros: f64 = session.eval(call).await?.try_into()?;
        figures.push(format!(r#""{name}": {micros:.2}"#));
    }
    let began = Instant::now();
    for number in 0..2000_i64 {
        session.call("abs", [number.into()], []).await?;
    }
    let micros = began.elapsed().as_secs_f64() / 2000.0 * 1e6;
    println!(r#"{{{}, "session_call_us": {micros:.1}}}"#, figures.join(", "));
    Ok(())
}
