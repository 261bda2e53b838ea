//! Chromium for the tests of web/: the machine's own, or Debian's without a window, unpacked without
//! installing it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Recipe;
use super::plan::{Inputs, Stage};
use super::toolchain::{unpack, write_script};
use crate::cache::Key;
use crate::packages::{Group, names};
use crate::process::find_program;

/// Of `bin/`.
pub const PROGRAM: &str = "chromium";
/// Under which the machine may have it.
const NAMES: [&str; 2] = ["chromium", "chromium-headless-shell"];
/// Of no use here.
const UNUSED: &str = "usr/share/doc";
const FONTS: &str = "<?xml version=\"1.0\"?>
<!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">
<fontconfig><dir prefix=\"relative\">root/usr/share/fonts</dir></fontconfig>
";

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(Stage::Browser, include_str!("browser.rs"), &[]);
    inputs.packages.add_to_key(key, &packages()).finish()
}

/// The machine's own.
pub fn own() -> Option<PathBuf> {
    NAMES.iter().find_map(|name| find_program(name))
}

pub fn packages() -> Vec<&'static str> {
    let mut packages = names(Group::Browser);
    // Which the compiler or the tests' servers need as well.
    packages.extend([
        "libbsd0",
        "libcap2",
        "libffi8",
        "libgcrypt20",
        "libgpg-error0",
        "liblz4-1",
        "liblzma5",
        "libmd0",
        "libpcre2-8-0",
        "libselinux1",
        "libsystemd0",
        "libzstd1",
        "zlib1g",
    ]);
    packages
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    let root = directory.join("root");
    for package in packages() {
        unpack(recipe, package, &root)?;
    }
    fs::remove_dir_all(root.join(UNUSED)).with_context(|| format!("removing {UNUSED}"))?;
    fs::write(directory.join("fonts.conf"), FONTS)?;
    write_script(
        &bin.join(PROGRAM),
        "for place in \"$root\"/usr/lib/*/pulseaudio \"$root\"/usr/lib/*/nss; do\n\
         LD_LIBRARY_PATH=\"$LD_LIBRARY_PATH:$place\"\n\
         done\n\
         export FONTCONFIG_FILE=\"$here/../fonts.conf\"\n\
         exec \"$root/usr/lib/chromium/chromium-headless-shell\" \"$@\"",
    )
}
