//! What the program may see: folders and environment variables.

use std::collections::BTreeMap;
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
    Ok(merge(mounts))
}

/// The same with further folders, which the flags do not give.
pub fn joined(mut mounts: Vec<Mount>, further: Vec<Mount>) -> Result<Vec<Mount>> {
    for mount in further {
        add(&mut mounts, mount)?;
    }
    Ok(merge(mounts))
}

/// Checks one `PATH` or `HOST::GUEST`.
pub fn mount(value: &Path, access: Access, flag: &str) -> Result<Mount> {
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

/// Drops the folders that another one contains with the same rights or more. WASI looks at the innermost folder alone: `--allow-write` would not reach the script's
/// own folder otherwise, and `..` would not lead out of it.
fn merge(mounts: Vec<Mount>) -> Vec<Mount> {
    let outer_access = |inner: &Mount| {
        let contains = |outer: &&Mount| {
            let below = inner.guest.strip_prefix(&outer.guest);
            *outer != inner && below.is_ok_and(|below| outer.host.join(below) == inner.host)
        };
        mounts
            .iter()
            .filter(contains)
            .map(|outer| outer.access)
            .reduce(wider)
    };
    let needed = mounts
        .iter()
        .filter(|mount| outer_access(mount).is_none_or(|outer| outer != wider(outer, mount.access)));
    needed.cloned().collect()
}

fn wider(a: Access, b: Access) -> Access {
    if a == Access::ReadWrite { a } else { b }
}

/// The environment variables that the flags give.
pub fn environment(flags: &PermissionFlags) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (name, value) in env::vars_os().filter(|_| flags.allow_env) {
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => _ = variables.insert(name.into(), value.into()),
            _ => say(
                "warning",
                &format!("--allow-env: {name:?} is not UTF-8: left out"),
            ),
        }
    }
    for text in &flags.env {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (text.as_str(), host_variable(text)?),
        };
        if name.is_empty() {
            let failure = Failure::usage(format!("--env {text:?}: the name is missing"));
            return Err(failure.hint("write --env NAME=VALUE").into());
        }
        variables.insert(name.into(), value);
    }
    Ok(variables)
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
    fn a_folder_inside_another_with_the_same_rights_is_no_mount_of_its_own() {
        let (read, write) = (Access::Read, Access::ReadWrite);
        let merged = merge(vec![
            folder("/a/b", read),
            folder("/a", write),
            folder("/a/c", write),
            folder("/d", read),
        ]);
        assert_eq!(merged, [folder("/a", write), folder("/d", read)]);
    }

    #[test]
    fn a_writable_folder_inside_a_readable_one_stays() {
        let mounts = vec![
            folder("/", Access::Read),
            folder("/a", Access::ReadWrite),
            folder("/a/b", Access::Read),
        ];
        assert_eq!(
            merge(mounts),
            [folder("/", Access::Read), folder("/a", Access::ReadWrite)]
        );
    }

    #[test]
    fn a_link_out_of_a_writable_folder_stays_read_only() {
        let link = Mount {
            host: "/etc".into(),
            guest: "/a/b".into(),
            access: Access::Read,
        };
        let mounts = vec![link, folder("/a", Access::ReadWrite)];
        assert_eq!(merge(mounts.clone()), mounts);
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
