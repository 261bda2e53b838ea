//! The Rust code of README.md, which compiles and does what it says.

mod common;

use vtwasm::{Arguments, HostError, Value};

#[test]
fn the_code_in_the_readme_is_the_code_here() {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("");
    let here = plain(include_str!("readme.rs"));
    let readme = include_str!("../../../README.md");
    let blocks: Vec<&str> = readme.split("```rust").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let code = block.split("```").next().unwrap_or_default();
        assert!(here.contains(&plain(code)), "README.md has other code:\n{code}");
    }
}

#[tokio::test]
async fn the_first_program_says_hello() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::var("VTWASM_PYTHON")?;
    let engine = vtwasm::Engine::new()?;
    let python = vtwasm::Python::new(&engine, &vtwasm::Artifact::open(folder)?)?;
    let report = vtwasm::Sandbox::builder(&python)
        .args(["python3", "-c", "print('hello')"])
        .stdout(vtwasm::Output::Capture)
        .build()?
        .run()
        .await?;
    assert_eq!(report.stdout, b"hello\n");
    Ok(())
}

async fn look_up(article: &str) -> Option<f64> {
    [("tea", 4.5), ("milk", 1.0)]
        .into_iter()
        .find_map(|(name, price)| (name == article).then_some(price))
}

#[tokio::test]
async fn a_session_calls_the_shop() -> Result<(), Box<dyn std::error::Error>> {
    let mut builder = vtwasm::Sandbox::builder(common::python());
    builder.host_function("shop", "price", |mut arguments: Arguments| async move {
        let article: String = arguments.required(0, "article")?;
        look_up(&article)
            .await
            .ok_or_else(|| HostError::new("KeyError", article))
    })?;
    let session = vtwasm::Session::start(&mut builder)?;
    session
        .exec("import shop\ndef total(articles): return sum(map(shop.price, articles))")
        .await?;
    let total = session
        .call("total", [Value::List(vec!["tea".into(), "milk".into()])], [])
        .await?;
    assert_eq!(total, Value::Float(5.5));
    Ok(())
}
