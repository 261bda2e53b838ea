//! Python calls Rust: a blocking call for the one, an async function for the other.

mod common;

use std::time::Duration;
use vtwasm::{Arguments, HostError, Output, Result, Sandbox, Value};

const PROGRAM: &str = "
import shop
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(100) as pool:
    print(sum(pool.map(shop.price, ['tea', 'milk'] * 500)))
try:
    shop.price('gold')
except KeyError as error:
    print('no', error)
";

async fn price(mut arguments: Arguments) -> Result<Value, HostError> {
    let article: String = arguments.required(0, "article")?;
    // As a database would take.
    tokio::time::sleep(Duration::from_millis(10)).await;
    match article.as_str() {
        "tea" => Ok(4.5.into()),
        "milk" => Ok(1.25.into()),
        _ => Err(HostError::new("KeyError", article)),
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let report = Sandbox::builder(&common::python()?)
        .args(["python3", "-c", PROGRAM])
        .host_function("shop", "price", price)?
        .stdout(Output::Inherit)
        .stderr(Output::Inherit)
        .build()?
        .run()
        .await?;
    println!("in {:?}", report.usage.wall_time);
    Ok(())
}
