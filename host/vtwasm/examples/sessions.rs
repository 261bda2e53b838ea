//! An interpreter that stays: its globals live on, and many calls go on at once.

mod common;

use futures::future::join_all;
use vtwasm::{Error, Result, Sandbox, Session};

const PROGRAM: &str = "
import threading, time

visits = 0
lock = threading.Lock()

def visit(name):
    global visits
    time.sleep(0.1)  # this virtual thread waits, the others go on
    with lock:
        visits += 1
        return f'{name} is number {visits}'
";

#[tokio::main]
async fn main() -> Result<()> {
    let session = Session::start(&mut Sandbox::builder(&common::python()?))?;
    session.exec(PROGRAM).await?;
    let calls = (0..1000).map(|n| session.call("visit", [format!("visitor {n}").into()], []));
    for result in join_all(calls).await.into_iter().take(3) {
        println!("{:?}", result?);
    }
    println!("{:?} visits", session.eval("visits").await?);
    match session.eval("1 / 0").await {
        Err(Error::Python(error)) => print!("{}", error.traceback),
        other => println!("{other:?}"),
    }
    println!("{:?}", session.close().await?.usage);
    Ok(())
}
