//! Which wheel of a package is taken, and what is native in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::requirement::Name;
use super::{guest, lock, read_text};
use crate::failure::Failure;

/// Packages without a pure-Python wheel that fall back to Python code where their native part cannot
/// be imported. A name gets here with a test that uses the package (`host/cli/tests/cli/wheels.rs`).
const FALL_BACK: [&str; 7] = [
    "markupsafe",
    "pyyaml",
    // aiohttp and what it needs; tests/peers runs them.
    "aiohttp",
    "frozenlist",
    "multidict",
    "propcache",
    "yarl",
];

/// The packages whose native part is left out.
pub struct Natives {
    without: BTreeSet<Name>,
}

impl Natives {
    /// Those that fall back by themselves, and what the user says does.
    pub fn new(asked: &[String]) -> Result<Natives> {
        let names = FALL_BACK.into_iter().chain(asked.iter().map(String::as_str));
        let named = names.map(|name| {
            Name::new(name).ok_or_else(|| {
                let failure = Failure::usage(format!("without-native: {name:?} is no name of a package"));
                failure.hint("write it as in --without-native=markupsafe")
            })
        });
        Ok(Natives {
            without: named.collect::<Result<_, _>>()?,
        })
    }

    /// Whether this package does without its native part.
    pub fn are_left_out(&self, package: &Name) -> bool {
        self.without.contains(package)
    }

    /// Removes the native files of a site folder that may be left out.
    ///
    /// # Errors
    /// If there are others; the message names one.
    pub fn remove_from(&self, site: &Path) -> Result<()> {
        let entries = fs::read_dir(site).with_context(|| format!("reading {}", site.display()))?;
        let infos = entries.flatten().map(|entry| entry.path());
        for info in infos.filter(|path| path.extension().is_some_and(|it| it == "dist-info")) {
            self.remove_of(&info, site)?;
        }
        Ok(())
    }

    /// Does so for the package whose `.dist-info` is `info`.
    fn remove_of(&self, info: &Path, site: &Path) -> Result<()> {
        let stem = info.file_stem().unwrap_or_default().to_string_lossy();
        let (name, version) = stem.split_once('-').unwrap_or((&stem, ""));
        let Some(package) = Name::new(name) else {
            return Ok(());
        };
        for file in native_files(&read_text(&info.join("RECORD"))?) {
            if !self.are_left_out(&package) {
                let what = format!(
                    "{package} {version} has native code: {}, which cannot run in the sandbox",
                    file.display()
                );
                return Err(Failure::packages(what).hint(advice(&package)).into());
            }
            match fs::remove_file(site.join(&file)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("removing {}", file.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The extension modules and libraries that a wheel's RECORD lists. A path that leads out of the
/// folder is none.
fn native_files(record: &str) -> Vec<PathBuf> {
    let inside = |path: &PathBuf| path.components().all(|it| matches!(it, Component::Normal(_)));
    let paths = record
        .lines()
        .map(|line| PathBuf::from(line.rsplitn(3, ',').last().unwrap_or("").trim_matches('"')));
    paths.filter(|path| is_native(path) && inside(path)).collect()
}

fn is_native(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let last = name.rsplit('.').next().unwrap_or_default();
    ["so", "pyd", "dylib", "dll"].contains(&last) || name.contains(".so.")
}

/// The wheel of `package` that is taken: a pure one, or one whose native part is left out.
pub fn choose<'a>(package: &'a lock::Package, natives: &Natives) -> Result<&'a lock::File> {
    let files = || package.files().filter(|file| file.name().ends_with(".whl"));
    if let Some(pure) = files().min_by_key(|file| pure_rank(file.name()).unwrap_or(u8::MAX))
        && pure_rank(pure.name()).is_some()
    {
        return Ok(pure);
    }
    if natives.are_left_out(&package.name)
        && let Some(native) = files().find(|file| fits_linux(file.name()))
    {
        return Ok(native);
    }
    let message = match files().find(|file| fits_linux(file.name())).or(files().next()) {
        Some(native) => format!(
            "{package} has no pure-Python wheel: {} is native code, which cannot run in the sandbox",
            native.name()
        ),
        None => format!("{package} has no wheel, and building one would run its code on this machine"),
    };
    Err(Failure::packages(message).hint(advice(&package.name)).into())
}

fn advice(package: &Name) -> String {
    format!(
        "use a version or a package that is all Python; if {package} has Python code to fall back to, \
         --without-native={package} leaves its native part out"
    )
}

/// How well a pure wheel fits, the best first; `None` if it is not pure, or for another Python.
///
/// The last three parts of the name are sets of tags: Python, ABI, platform.
fn pure_rank(name: &str) -> Option<u8> {
    let [python, abi, platform] = tags(name)?;
    let pure = abi.split('.').any(|tag| tag == "none") && platform.split('.').any(|tag| tag == "any");
    let minor = guest::MINOR;
    let newest_first = (0..=minor).rev().flat_map(|minor| {
        let exactly = (minor == guest::MINOR).then(|| format!("cp3{minor}"));
        exactly.into_iter().chain([format!("py3{minor}")])
    });
    let fitting: Vec<String> = newest_first.chain(["py3".to_owned()]).collect();
    let ranks = python
        .split('.')
        .filter_map(|tag| fitting.iter().position(|fit| fit == tag));
    ranks.min().filter(|_| pure).map(|rank| rank as u8)
}

/// Whether uv takes this wheel for CPython 3.13 on the Linux that [`super::uv`] tells it of. Which
/// processor it is for does not matter, since its native part is not used; one has to be chosen.
fn fits_linux(name: &str) -> bool {
    let Some([python, abi, platform]) = tags(name) else {
        return false;
    };
    let linux = platform
        .split('.')
        .any(|tag| tag.starts_with("manylinux") && tag.ends_with("x86_64"));
    let own = format!("cp3{}", guest::MINOR);
    let stable = abi == "abi3"
        && python.split('.').any(|tag| {
            let minor = tag.strip_prefix("cp3").and_then(|minor| minor.parse::<u8>().ok());
            minor.is_some_and(|minor| minor <= guest::MINOR)
        });
    linux && (stable || abi == own)
}

fn tags(name: &str) -> Option<[&str; 3]> {
    let mut parts = name.strip_suffix(".whl")?.rsplit('-');
    let (platform, abi, python) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next()?;
    Some([python, abi, platform])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pure_wheel_is_one_for_any_machine_and_this_python_or_an_older_one() {
        for pure in [
            "py3-none-any",
            "py2.py3-none-any",
            "py313-none-any",
            "cp313-none-any",
        ] {
            assert!(pure_rank(&format!("a_b-1.0-{pure}.whl")).is_some(), "{pure}");
        }
        for other in [
            "py2-none-any",
            "py314-none-any",
            "cp312-none-any",
            "py3-none-win32",
        ] {
            assert!(pure_rank(&format!("a_b-1.0-{other}.whl")).is_none(), "{other}");
        }
        assert!(pure_rank("a-1.0-1-cp313-none-any.whl") < pure_rank("a-1.0-py3-none-any.whl"));
        assert_eq!(pure_rank("any.whl"), None);
    }

    #[test]
    fn a_native_wheel_is_chosen_for_one_machine() {
        assert!(fits_linux(
            "m-3-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
        ));
        assert!(fits_linux("m-3-cp39-abi3-manylinux_2_17_x86_64.whl"));
        for other in [
            "m-3-cp313-cp313t-manylinux_2_17_x86_64.whl",
            "m-3-cp312-cp312-manylinux_2_17_x86_64.whl",
            "m-3-cp313-cp313-manylinux_2_17_aarch64.whl",
            "m-3-cp314-abi3-manylinux_2_17_x86_64.whl",
        ] {
            assert!(!fits_linux(other), "{other}");
        }
    }

    #[test]
    fn native_files_are_known_by_their_names_and_stay_inside() {
        let record = "a/b.cpython-313-x86_64-linux-gnu.so,sha256=x,1\na/so.py,,\n\"a,b/c.pyd\",,\n\
                      a.libs/libx.so.1,,\n../../evil.so,,\n/etc/evil.so,,\n";
        let found = native_files(record);
        let names = [
            "a/b.cpython-313-x86_64-linux-gnu.so",
            "a,b/c.pyd",
            "a.libs/libx.so.1",
        ];
        assert_eq!(found, names.map(PathBuf::from));
    }
}
