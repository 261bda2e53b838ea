//! CPython's source as the cross build sees it: with this project's patches.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::plan::{Inputs, Stage};
use super::{Recipe, source};
use crate::cache::Key;

pub fn key(inputs: &Inputs) -> Result<Key> {
    let mut key = inputs.key(Stage::Patched, include_str!("patched.rs"), &[Stage::Source]);
    for patch in patches(inputs.workspace)? {
        key = key.file(&patch)?;
    }
    Ok(key.finish())
}

/// The recipe's patches, then the guest's, each in name order.
fn patches(workspace: &crate::workspace::Workspace) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for directory in [
        workspace.recipe().join("patches"),
        workspace.guest().join("patches"),
    ] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut patches: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
            .collect();
        patches.sort();
        all.extend(patches);
    }
    Ok(all)
}

/// CPython's own tests, in the very source that the artifact was built from.
pub fn test_directory(entry: &Path) -> PathBuf {
    source::tree(entry).join("Lib/test")
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let runner = recipe.runner("patched")?;
    let tree = source::tree(directory);
    // Hard links: patch and the generator below replace files and never write into them.
    let mut copy = runner.command("cp", directory);
    runner.run(
        copy.arg("-al")
            .arg(source::tree(&recipe.entry(Stage::Source)))
            .arg(&tree),
    )?;
    for patch in patches(&recipe.workspace)? {
        source::apply(&runner, &tree, &patch)?;
    }
    // patches/freeze-startup.patch adds to the list of frozen modules; this follows it.
    let mut freeze = runner.command("python3", &tree);
    runner.run(
        freeze
            .arg("Tools/build/freeze_modules.py")
            .arg("--frozen-modules"),
    )
}
