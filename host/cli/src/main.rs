//! The `vtwasm` command.
fn main() {}
