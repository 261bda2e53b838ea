//! web/'s packages, as its lock file names them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Recipe;
use super::plan::{Inputs, Stage};
use crate::cache::Key;

/// npm's files of web/.
const FILES: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

pub fn key(inputs: &Inputs) -> Result<Key> {
    let mut key = inputs
        .key(Stage::Npm, include_str!("npm.rs"), &[])
        .text("architecture", std::env::consts::ARCH);
    for name in FILES {
        key = key.file(&inputs.workspace.web().join(name))?;
    }
    Ok(key.finish())
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let web = recipe.workspace.web();
    for name in FILES {
        fs::copy(web.join(name), directory.join(name)).with_context(|| format!("copying web/{name}"))?;
    }
    // npm compares the checksums. No package's own scripts run.
    let runner = recipe.runner("npm")?;
    let mut npm = runner.command("npm", directory);
    npm.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    runner.run(&mut npm).context(
        "fetching the npm packages of web/\nhint: npm follows its own configuration (`npm config list`)",
    )
}
