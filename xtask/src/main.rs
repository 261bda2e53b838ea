//! The developer's commands: `cargo xtask --help`.
fn main() {}
