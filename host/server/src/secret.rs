//! Values that are kept sealed: ChaCha20-Poly1305, by a key that is not in the database.

use crate::error::{Error, Result};
use crate::id::{hex, random};
use crate::time::Time;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::Serialize;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use utoipa::ToSchema;

/// A secret, without its value, which is told to nobody but the jobs that it is given to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Secret {
    /// Its name, and that of the variable that a job finds it in.
    #[schema(example = "SHOP_PASSWORD")]
    pub name: String,
    /// When it was set.
    #[schema(value_type = String, format = DateTime)]
    pub changed: Time,
}

/// What seals secrets, and those that sealed them before. Clones share everything, and it is not shown.
#[derive(Clone)]
pub struct Key {
    own: Arc<LessSafeKey>,
    /// They only open.
    old: Vec<Arc<LessSafeKey>>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// From 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn parse(text: &str) -> Result<Key> {
        let key = unhex(text.trim()).and_then(|bytes| UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok());
        let wrong =
            || Error::Invalid("a key of secrets is 64 hexadecimal digits: openssl rand -hex 32".into());
        Ok(Key {
            own: Arc::new(LessSafeKey::new(key.ok_or_else(wrong)?)),
            old: Vec::new(),
        })
    }

    /// What another has sealed is opened as well, so that it can be changed for this one.
    pub fn after(mut self, old: &Key) -> Key {
        self.old.push(old.own.clone());
        self
    }

    /// The one in a file, which is made if it is not there and can be read by its owner only.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Invalid`].
    pub fn in_file(file: &Path) -> Result<Key> {
        let failed = |source| Error::Io {
            action: format!("read or make the key of secrets in {}", file.display()),
            source,
        };
        if !file.exists() {
            make(file).map_err(failed)?;
        }
        Key::parse(&fs::read_to_string(file).map_err(failed)?)
    }

    /// `place` is needed to open it again, so that nobody puts a value in another's place.
    pub(crate) fn seal(&self, place: &str, value: &str) -> Result<String> {
        let nonce = random::<NONCE_LEN>();
        let mut bytes = value.as_bytes().to_vec();
        let tag = self.own.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.as_bytes()),
            &mut bytes,
        );
        let tag = tag.map_err(|_| Error::Invalid("the value is too long".into()))?;
        Ok(hex(&[&nonce, &*bytes, tag.as_ref()].concat()))
    }

    /// Nothing, if it was sealed by another key or for another place.
    pub(crate) fn open(&self, place: &str, sealed: &str) -> Option<String> {
        let mut keys = std::iter::once(&self.own).chain(&self.old);
        keys.find_map(|key| open(key, place, sealed))
    }

    /// Whether it was sealed by this key, and not by one before.
    pub(crate) fn has_sealed(&self, place: &str, sealed: &str) -> bool {
        open(&self.own, place, sealed).is_some()
    }
}

fn open(key: &LessSafeKey, place: &str, sealed: &str) -> Option<String> {
    let mut bytes = unhex(sealed)?;
    let (nonce, rest) = bytes.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let value = key.open_in_place(nonce, Aad::from(place.as_bytes()), rest).ok()?;
    String::from_utf8(value.to_vec()).ok()
}

/// Whole or not at all, and not over one that another process has made meanwhile.
fn make(file: &Path) -> io::Result<()> {
    let mut own = file.as_os_str().to_owned();
    own.push(format!(".{}", hex(&random::<8>())));
    let mut made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&own)?;
    made.write_all(hex(&random::<32>()).as_bytes())?;
    made.sync_all()?;
    let linked = fs::hard_link(&own, file);
    fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()
        }
        _ => None,
    };
    digits.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::Key;

    #[test]
    fn a_value_opens_by_its_key_in_its_place_only() {
        let [key, other] = ["a1", "a2"].map(|byte| Key::parse(&byte.repeat(32)).unwrap());
        let sealed = key.seal("tenant name", "väl\0ue").unwrap();
        assert_eq!(key.open("tenant name", &sealed).as_deref(), Some("väl\0ue"));
        assert_ne!(sealed, key.seal("tenant name", "väl\0ue").unwrap());
        assert_eq!(key.open("tenant other", &sealed), None);
        assert_eq!(other.open("tenant name", &sealed), None);
        let both = other.after(&key);
        assert_eq!(both.open("tenant name", &sealed).as_deref(), Some("väl\0ue"));
        assert!(!both.has_sealed("tenant name", &sealed) && key.has_sealed("tenant name", &sealed));
        for wrong in [
            "",
            "zz",
            "a",
            &sealed[2..],
            &sealed[..sealed.len() - 2],
            &format!("{sealed}00"),
        ] {
            assert_eq!(key.open("tenant name", wrong), None, "{wrong}");
        }
        for wrong in ["", "12", &"x".repeat(64), &"1".repeat(66), &"é".repeat(32)] {
            assert!(Key::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(format!("{key:?}"), "Key");
    }

    #[test]
    fn a_key_in_a_file_is_made_once_and_is_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let sealed = Key::in_file(&file).unwrap().seal("p", "v").unwrap();
        assert_eq!(
            Key::in_file(&file).unwrap().open("p", &sealed).as_deref(),
            Some("v")
        );
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
        assert_eq!(mode & 0o777, 0o600);
    }
}
