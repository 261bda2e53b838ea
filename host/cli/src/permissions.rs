//! What the program may see: folders and environment variables.

use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use vtwasm::Access;

use crate::failure::{Failure, say};
use crate::options::PermissionFlags;

/// A folder of the host that the program may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Mount {
    /// Where it is on the host, without links.
    pub host: PathBuf,
    /// Where the program finds it: an absolute path, the host's own unless the user said otherwise.
    pub guest: PathBuf,
    /// What the program may do with it.
    pub access: Access,
}

/// The folders that the flags give, after the script's own.
pub fn mounts(flags: &PermissionFlags, script_folder: Option<&Path>) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    if let Some(folder) = script_folder {
        add(&mut mounts, mount(folder, Access::Read, "the script's folder")?)?;
    }
    for path in &flags.allow_read {
        add(&mut mounts, mount(path, Access::Read, "--allow-read")?)?;
    }
    for path in &flags.allow_write {
        add(&mut mounts, mount(path, Access::ReadWrite, "--allow-write")?)?;
    }
    inherit_access(&mut mounts);
    Ok(mounts)
}

/// Checks one `PATH` or `HOST::GUEST`.
fn mount(value: &Path, access: Access, flag: &str) -> Result<Mount> {
    let (host, guest) = split(value);
    let cannot = |what: &str| Failure::usage(format!("{flag}: {}: {what}", host.display()));
    let real = host.canonicalize().map_err(|error| {
        cannot(&error.to_string()).hint("a permission is for a folder that exists; make it first")
    })?;
    if !real.is_dir() {
        let parent = real.parent().unwrap_or(&real).display().to_string();
        let hint = format!("permissions are for folders; the one it is in is {parent}");
        return Err(cannot("not a folder").hint(hint).into());
    }
    fs::read_dir(&real).map_err(|error| {
        cannot(&error.to_string()).hint("vtwasm can give away only what you can read yourself")
    })?;
    let guest = match guest {
        Some(guest) if !guest.is_absolute() || climbs(guest) => {
            let hint = "write HOST::GUEST with an absolute GUEST, such as ./data::/data";
            return Err(cannot("the name for the program is not absolute")
                .hint(hint)
                .into());
        }
        Some(guest) => guest.components().collect(),
        None => visible_path(host)?,
    };
    Ok(Mount {
        host: real,
        guest,
        access,
    })
}

/// `HOST::GUEST` in two; a plain path has no second half.
fn split(value: &Path) -> (&Path, Option<&Path>) {
    match value.to_str().and_then(|text| text.rsplit_once("::")) {
        Some((host, guest)) => (Path::new(host), Some(Path::new(guest))),
        None => (value, None),
    }
}

/// The absolute path under which the program sees `path`: as the user spells it, but without `..`,
/// which the sandbox cannot follow out of a folder.
pub fn visible_path(path: &Path) -> Result<PathBuf> {
    if climbs(path) {
        Ok(path.canonicalize()?)
    } else {
        Ok(std::path::absolute(path)?)
    }
}

fn climbs(path: &Path) -> bool {
    path.components()
        .any(|component| component == Component::ParentDir)
}

/// Adds `mount`, or widens the one that is the same folder at the same place.
fn add(mounts: &mut Vec<Mount>, mount: Mount) -> Result<()> {
    match mounts.iter_mut().find(|other| other.guest == mount.guest) {
        Some(other) if other.host == mount.host => other.access = wider(other.access, mount.access),
        Some(other) => {
            let (a, b) = (other.host.display(), mount.host.display());
            let message = format!("{a} and {b} cannot both be {}", mount.guest.display());
            return Err(Failure::usage(message).hint("give each a name of its own").into());
        }
        None => mounts.push(mount),
    }
    Ok(())
}

/// A folder inside of another may be used at least as the other may: WASI looks at the innermost
/// alone, so `--allow-write` would not reach the script's own folder otherwise.
fn inherit_access(mounts: &mut [Mount]) {
    for index in 0..mounts.len() {
        let inner = mounts[index].clone();
        let contains = |outer: &Mount| {
            let below = inner.guest.strip_prefix(&outer.guest);
            below.is_ok_and(|below| outer.host.join(below) == inner.host)
        };
        let accesses = mounts
            .iter()
            .filter(|outer| contains(outer))
            .map(|outer| outer.access);
        mounts[index].access = accesses.fold(inner.access, wider);
    }
}

fn wider(a: Access, b: Access) -> Access {
    if a == Access::ReadWrite { a } else { b }
}

/// The environment variables that the flags give.
pub fn environment(flags: &PermissionFlags) -> Result<Vec<(String, String)>> {
    let mut variables = Vec::new();
    if flags.allow_env {
        for (name, value) in env::vars_os() {
            match (name.to_str(), value.to_str()) {
                (Some(name), Some(value)) => variables.push((name.into(), value.into())),
                _ => say(
                    "warning",
                    &format!("--allow-env: {name:?} is not UTF-8: left out"),
                ),
            }
        }
    }
    for text in &flags.env {
        variables.push(match text.split_once('=') {
            Some(("", _)) => return Err(no_name(text).into()),
            Some((name, value)) => (name.into(), value.into()),
            None if text.is_empty() => return Err(no_name(text).into()),
            None => (text.clone(), host_variable(text)?),
        });
    }
    Ok(variables)
}

fn no_name(text: &str) -> Failure {
    Failure::usage(format!("--env {text:?}: the name is missing")).hint("write --env NAME=VALUE")
}

fn host_variable(name: &str) -> Result<String> {
    let hint = format!("write --env {name}=VALUE to set it");
    env::var(name).map_err(|error| Failure::usage(format!("--env {name}: {error}")).hint(hint).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str, access: Access) -> Mount {
        Mount {
            host: path.into(),
            guest: path.into(),
            access,
        }
    }

    #[test]
    fn a_folder_inside_a_writable_one_is_writable() {
        let mut mounts = [
            folder("/a/b", Access::Read),
            folder("/a", Access::ReadWrite),
            folder("/c", Access::Read),
        ];
        inherit_access(&mut mounts);
        let accesses = mounts.map(|mount| mount.access);
        assert_eq!(accesses, [Access::ReadWrite, Access::ReadWrite, Access::Read]);
    }

    #[test]
    fn a_link_out_of_a_writable_folder_stays_read_only() {
        let link = Mount {
            host: "/etc".into(),
            guest: "/a/b".into(),
            access: Access::Read,
        };
        let mut mounts = [link, folder("/a", Access::ReadWrite)];
        inherit_access(&mut mounts);
        assert_eq!(mounts[0].access, Access::Read);
    }

    #[test]
    fn the_same_folder_twice_is_one_with_both_rights() {
        let mut mounts = Vec::new();
        add(&mut mounts, folder("/a", Access::Read)).unwrap();
        add(&mut mounts, folder("/a", Access::ReadWrite)).unwrap();
        assert_eq!(mounts, [folder("/a", Access::ReadWrite)]);
        let other = Mount {
            host: "/b".into(),
            ..folder("/a", Access::Read)
        };
        assert!(add(&mut mounts, other).is_err());
    }

    #[test]
    fn a_mapping_is_split_at_the_last_double_colon() {
        assert_eq!(split(Path::new("a::/b")), (Path::new("a"), Some(Path::new("/b"))));
        assert_eq!(split(Path::new("a:b")), (Path::new("a:b"), None));
    }

    #[test]
    fn a_name_for_the_program_must_be_absolute() {
        assert!(mount(Path::new("/::b"), Access::Read, "--allow-read").is_err());
        assert!(mount(Path::new("/::/b/../c"), Access::Read, "--allow-read").is_err());
        let mapped = mount(Path::new("/::/b/"), Access::Read, "--allow-read").unwrap();
        assert_eq!(mapped.guest, Path::new("/b"));
    }
}
