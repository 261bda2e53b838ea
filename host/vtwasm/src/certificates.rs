//! Whom Python's `ssl` trusts by default: the certificate authorities that the host trusts.

use crate::cache;
use crate::error::Result;
use std::borrow::Cow;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder in which the guest's OpenSSL looks for its defaults (`xtask/src/recipe/openssl.rs`).
pub(crate) const GUEST: &str = "/usr/lib/ssl";
const FILE: &str = "cert.pem";

/// The certificates of the authorities that this machine trusts, in PEM, for
/// [`Builder::certificates`](crate::Builder::certificates).
///
/// The environment's `SSL_CERT_FILE` or, without that, `SSL_CERT_DIR` names them; else they are where
/// Linux distributions, the BSDs and macOS keep them. `None` if nothing is there.
pub fn host_certificates() -> Option<Vec<u8>> {
    let found = openssl_probe::probe();
    let only_folder =
        env::var_os("SSL_CERT_FILE").is_none() && env::var_os("SSL_CERT_DIR").is_some_and(|v| !v.is_empty());
    let file = found.cert_file.filter(|_| !only_folder);
    let bundle = match (file, found.cert_dir.first()) {
        (Some(file), _) => fs::read(file).ok()?,
        (None, Some(folder)) => all_in(folder)?,
        (None, None) => return None,
    };
    (!bundle.is_empty()).then_some(bundle)
}

/// The certificates of a folder as OpenSSL sees it: each is a file (or a link) named after a hash.
fn all_in(folder: &Path) -> Option<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let number = |path: &&PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| extension.parse::<u8>().is_ok())
    };
    let mut all = Vec::new();
    for certificate in paths.iter().filter(number).flat_map(fs::read) {
        all.extend(certificate);
        all.push(b'\n');
    }
    Some(all)
}

/// A folder with nothing but these certificates, in the user's cache: a sandbox is given folders, and
/// what else is in the host's is nothing to it.
pub(crate) fn folder_of(pem: &[u8]) -> Result<PathBuf> {
    let name = format!("{}-{}", cache::hash(pem), pem.len());
    let folder = cache::dir()?.join("certificates").join(name);
    cache::keep(&folder.join(FILE), || Ok(Cow::Owned(pem.to_vec())))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_folder_only_what_is_named_after_a_hash_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("b1b2b3b4.1", "second"),
            ("a1b2c3d4.0", "first"),
            ("README", "x"),
            ("ca.pem", "y"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        assert_eq!(all_in(folder.path()).unwrap(), b"first\nsecond\n");
        assert_eq!(all_in(&folder.path().join("missing")), None);
    }
}
