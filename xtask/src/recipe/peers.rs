//! Servers from Debian, unpacked without installing them, for tests/peers to talk to; and pip, for the
//! tests of packages on a machine that has neither uv nor pip.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Recipe;
use super::plan::{Inputs, Stage};
use super::toolchain::{unpack, write_script};
use crate::cache::Key;
use crate::packages::{Group, names};

/// Of `root/`, what `bin/` has a script for.
const PROGRAMS: &[&str] = &[
    "usr/sbin/nginx",
    "usr/lib/postgresql/15/bin/initdb",
    "usr/lib/postgresql/15/bin/postgres",
    "usr/bin/redis-server",
    "usr/sbin/mariadbd",
    "usr/bin/openssl",
];
/// Large, and of no use here.
const UNUSED: &[&str] = &[
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "usr/lib/postgresql/15/lib/bitcode",
];

pub fn key(inputs: &Inputs) -> Key {
    let key = inputs.key(Stage::Peers, include_str!("peers.rs"), &[]);
    inputs.packages.add_to_key(key, &packages()).finish()
}

pub fn packages() -> Vec<&'static str> {
    let mut packages = names(Group::Peer);
    // PostgreSQL's, which clang needs as well.
    packages.extend(["libxml2", "libicu72", "liblzma5", "libffi8", "libzstd1", "zlib1g"]);
    packages
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    let root = directory.join("root");
    for package in packages() {
        unpack(recipe, package, &root)?;
    }
    for path in UNUSED {
        fs::remove_dir_all(root.join(path))?;
    }
    for program in PROGRAMS {
        let name = program.rsplit('/').next().unwrap_or(program);
        write_script(&bin.join(name), &format!("exec \"$root/{program}\" \"$@\""))?;
    }
    // The wheel runs as it is. Debian's Python may lack all means of installing it.
    write_script(
        &bin.join("pip3"),
        "unset LD_LIBRARY_PATH\n\
         for wheel in \"$root\"/usr/share/python-wheels/pip-*.whl; do\n\
         exec python3 \"$wheel/pip\" \"$@\"\n\
         done",
    )
}
