//! Debian's indexes: stanzas of `Field: value` lines, parted by empty lines.

use super::lock_file::LockedFile;
use super::wanted::{SOURCE_PREFIX, Wanted};

/// The stanzas of an index that describe this package.
pub fn stanzas<'a>(index: &'a str, package: &str) -> impl Iterator<Item = &'a str> {
    let name = package.strip_prefix(SOURCE_PREFIX).unwrap_or(package);
    let start = format!("Package: {name}\n");
    index
        .match_indices(&*start.clone())
        .map(|(position, _)| position)
        .filter(|&position| position == 0 || index[..position].ends_with("\n\n"))
        .map(|position| {
            let rest = &index[position..];
            rest.split_once("\n\n").map_or(rest, |(stanza, _)| stanza)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

/// A single-line field of a stanza.
pub fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    let lines = stanza.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.next().map(str::trim)
}

pub fn files_of(stanza: &str, wanted: &Wanted, suite: &str) -> Vec<LockedFile> {
    let locked = |path: String, architecture: &str, sha256: &str| LockedFile {
        package: wanted.package.to_owned(),
        version: field(stanza, "Version").unwrap_or_default().to_owned(),
        suite: suite.to_owned(),
        architecture: architecture.to_owned(),
        path,
        sha256: sha256.to_owned(),
    };
    if !wanted.package.starts_with(SOURCE_PREFIX) {
        let file = || {
            let path = field(stanza, "Filename")?.to_owned();
            Some(locked(
                path,
                field(stanza, "Architecture")?,
                field(stanza, "SHA256")?,
            ))
        };
        return file().into_iter().collect();
    }
    let folder = field(stanza, "Directory").unwrap_or_default();
    let after = stanza
        .split_once("Checksums-Sha256:")
        .map_or("", |(_, after)| after);
    after
        .lines()
        .skip(1)
        .map_while(|line| line.strip_prefix(' '))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (sha256, name) = (words.next()?, words.nth(1)?);
            let source = name.contains(".orig.tar.") || name.contains(".debian.tar.");
            (source && !name.ends_with(".asc")).then(|| locked(format!("{folder}/{name}"), "source", sha256))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::wanted::find;
    use super::*;

    const SOURCES: &str = "Package: zlib\nBinary: zlib1g\nVersion: 1:1.3-1\nFiles:\n 00 5 zlib.dsc\n\
        Checksums-Sha256:\n aa 5 zlib_1.3.dsc\n bb 6 zlib_1.3.orig.tar.gz\n cc 7 zlib_1.3.orig.tar.gz.asc\n \
        dd 8 zlib_1.3-1.debian.tar.xz\nDirectory: pool/main/z/zlib\n\nPackage: zlib-ng\nVersion: 2\n\n";

    #[test]
    fn a_source_package_is_its_tarballs() {
        let found: Vec<_> = stanzas(SOURCES, "src:zlib").collect();
        assert_eq!(found.len(), 1, "zlib-ng is another package");
        let files = files_of(found[0], find("src:zlib"), "trixie");
        let files: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.sha256.as_str()))
            .collect();
        assert_eq!(
            files,
            [
                ("pool/main/z/zlib/zlib_1.3.orig.tar.gz", "bb"),
                ("pool/main/z/zlib/zlib_1.3-1.debian.tar.xz", "dd"),
            ]
        );
    }
}
