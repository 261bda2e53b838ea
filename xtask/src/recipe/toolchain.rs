//! clang, lld and the C library for wasm32-wasip1, unpacked without installing them.
//!
//! `bin/` holds one script per program that later stages call; everything else is their business.
//! With `WASI_SDK_PATH` the scripts call the SDK's programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Recipe;
use super::plan::{Inputs, Stage};
use crate::cache::Key;
use crate::packages::{Group, WANTED, names};
use crate::process::output;

/// The compiler's name in `bin/`.
pub const CLANG: &str = "wasm32-wasip1-clang";
const TARGET: &str = "wasm32-wasip1";
const PROGRAMS: &[&str] = &["llvm-ar", "llvm-nm", "llvm-ranlib", "llvm-strip", "wasm-ld"];
/// Where Debian puts clang's version.
const LLVM: &str = "usr/lib/llvm-22";
/// Of what the packages bring, the parts that are of no use here and large.
const UNUSED: &[&str] = &["usr/share", "usr/lib/wasm32-wasip2", "usr/include/wasm32-wasip2"];

pub fn key(inputs: &Inputs) -> Result<Key> {
    let key = inputs.key(Stage::Toolchain, include_str!("toolchain.rs"), &[]);
    let key = match wasi_sdk() {
        Some(sdk) => key
            .text("sdk", sdk.to_string_lossy().as_bytes())
            .file(&sdk.join("VERSION"))?,
        None => inputs.packages.add_to_key(key, &packages()),
    };
    Ok(key.finish())
}

fn wasi_sdk() -> Option<PathBuf> {
    std::env::var_os("WASI_SDK_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

pub fn packages() -> Vec<&'static str> {
    if wasi_sdk().is_some() {
        return Vec::new();
    }
    // /sbin is not on everybody's PATH.
    let known = output(Command::new("/sbin/ldconfig").arg("-p")).unwrap_or_default();
    let mut packages = names(Group::Toolchain);
    packages.extend(WANTED.iter().filter_map(|wanted| match wanted.group {
        Group::Library(soname) if !known.contains(soname) => Some(wanted.package),
        _ => None,
    }));
    packages
}

pub fn build(recipe: &Recipe, directory: &Path) -> Result<()> {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin)?;
    if let Some(sdk) = wasi_sdk() {
        let place = sdk.display();
        write_script(
            &bin.join(CLANG),
            &format!(
                "exec \"{place}/bin/clang\" --target={TARGET} \
                 --sysroot=\"{place}/share/wasi-sysroot\" \"$@\""
            ),
        )?;
        for program in PROGRAMS {
            write_script(
                &bin.join(program),
                &format!("exec \"{place}/bin/{program}\" \"$@\""),
            )?;
        }
        return Ok(());
    }
    let root = directory.join("root");
    for package in packages() {
        unpack(recipe, package, &root)?;
    }
    keep_only_what_is_used(&root)?;
    // clang looks for its linker under the name that Debian gave it, on PATH.
    write_script(
        &bin.join(CLANG),
        &format!(
            "PATH=\"$here:$PATH\" exec \"$root/{LLVM}/bin/clang\" --target={TARGET} \
             --sysroot=\"$root/usr\" \"$@\""
        ),
    )?;
    for program in PROGRAMS.iter().chain(&["wasm-ld-22"]) {
        let file = program.trim_end_matches("-22");
        write_script(
            &bin.join(program),
            &format!("exec \"$root/{LLVM}/bin/{file}\" \"$@\""),
        )?;
    }
    Ok(())
}

/// Unpacks a package's files below `root`; nothing is installed.
pub fn unpack(recipe: &Recipe, package: &str, root: &Path) -> Result<()> {
    for file in recipe.packages.files(package) {
        output(
            Command::new("dpkg-deb")
                .arg("-x")
                .arg(recipe.packages.path(file))
                .arg(root),
        )
        .with_context(|| format!("unpacking {}", file.name()))?;
    }
    Ok(())
}

fn keep_only_what_is_used(root: &Path) -> Result<()> {
    for path in UNUSED {
        let path = root.join(path);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
    }
    let programs = root.join(LLVM).join("bin");
    for entry in fs::read_dir(&programs)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let used =
            ["clang", "lld", "llvm-objcopy"].contains(&name.as_str()) || PROGRAMS.contains(&name.as_str());
        if !used {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A script that finds what stands beside it wherever the cache is, and its shared libraries.
pub fn write_script(path: &Path, last_line: &str) -> Result<()> {
    let text = format!(
        "#!/bin/sh\n\
         here=${{0%/*}}\n\
         root=$here/../root\n\
         LD_LIBRARY_PATH=\"$root/usr/lib/x86_64-linux-gnu:$root/usr/lib/aarch64-linux-gnu:\
         $root/lib/x86_64-linux-gnu:$root/lib/aarch64-linux-gnu\"\n\
         export LD_LIBRARY_PATH\n\
         {last_line}\n"
    );
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("writing {}", path.display()))
}
