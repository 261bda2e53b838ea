//! The standard library as one zip: byte code for speed, sources for tracebacks.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::plan::{Inputs, Stage};
use super::{Recipe, helper, objects, source};
use crate::cache::Key;

const COMPILE: &str = "compile_stdlib.py";
const PACK: &str = "pack_stdlib.py";

pub fn key(inputs: &Inputs) -> Result<Key> {
    let key = inputs.key(
        Stage::Stdlib,
        include_str!("stdlib.rs"),
        &[Stage::Helper, Stage::Objects],
    );
    let recipe = inputs.workspace.recipe();
    Ok(key
        .file(&recipe.join(COMPILE))?
        .file(&recipe.join(PACK))?
        .finish())
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("stdlib")?;
    let scripts = recipe.workspace.recipe();
    let tree = source::tree(&recipe.entry(Stage::Patched));
    let name = source::zip_name(&tree)?;
    let work = directory.join("work");
    fs::create_dir_all(&work)?;
    // The machine's Python packs what the helper compiled: the helper has no zlib.
    let mut compile = runner.command(helper::program(&recipe.entry(Stage::Helper)), directory);
    compile
        .arg(scripts.join(COMPILE))
        .arg(tree.join("Lib"))
        .arg(objects::sysconfig_data(recipe)?)
        .arg(&work)
        .arg(format!("/usr/lib/{name}"));
    runner.run(&mut compile)?;
    let mut pack = runner.command("python3", directory);
    runner.run(pack.arg(scripts.join(PACK)).arg(&work).arg(directory.join(name)))?;
    fs::remove_dir_all(&work)?;
    Ok(())
}
