//! Secrets, sealed.

use super::{Store, int, json, text};
use crate::error::{Error, Result};
use crate::job::is_variable;
use crate::secret::{Key, Secret};
use crate::time::Time;
use std::collections::BTreeMap;

/// Bytes of a value, and secrets of a tenant.
const LONGEST: usize = 64 << 10;
const MOST: i64 = 1000;

impl Store {
    /// A store that keeps secrets.
    pub fn with_key(self, key: Key) -> Store {
        Store {
            key: Some(key),
            ..self
        }
    }

    fn key(&self) -> Result<&Key> {
        let none = "this service keeps no secrets: its operator gives it a key with --secret-key-file";
        self.key.as_ref().ok_or_else(|| Error::Conflict(none.into()))
    }

    /// Sets a secret, a new one or anew.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] if there is no key; [`Error::Quota`].
    pub async fn set_secret(&self, tenant: &str, name: &str, value: &str) -> Result<()> {
        if !is_variable(name) || name.len() > 255 || name.starts_with("VTWASM_") {
            let message =
                "a secret's name has letters, digits and underscores, no digit at its start, nor VTWASM_";
            return Err(Error::Invalid(message.into()));
        }
        if value.len() > LONGEST || value.contains('\0') {
            let message = format!("a secret has at most {LONGEST} bytes, and no NUL");
            return Err(Error::Invalid(message));
        }
        let sealed = self.key()?.seal(&place(tenant, name), value)?;
        let set = self
            .query(
                "INSERT INTO secrets (tenant, name, sealed, changed)
                 SELECT $1, $2, $3, $now FROM tenants WHERE id = $1 AND $4 > (SELECT count(*) FROM secrets WHERE tenant = $1)
                 ON CONFLICT (tenant, name) DO UPDATE SET sealed = excluded.sealed, changed = excluded.changed",
            )
            .bind(tenant.to_owned())
            .bind(name.to_owned())
            .bind(sealed)
            .bind(MOST)
            .execute(&self.writers)
            .await?;
        match set.rows_affected() {
            0 => Err(Error::Quota(format!("a tenant has at most {MOST} secrets"))),
            _ => Ok(()),
        }
    }

    /// A tenant's secrets, without their values.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn secrets(&self, tenant: &str) -> Result<Vec<Secret>> {
        let query = self.query("SELECT name, changed FROM secrets WHERE tenant = $1 ORDER BY name");
        let rows = query.bind(tenant.to_owned()).fetch_all(&self.readers).await?;
        let secret = |row| {
            Ok(Secret {
                name: text(row, "name")?,
                changed: Time(int(row, "changed")?),
            })
        };
        rows.iter().map(secret).collect()
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_secret(&self, tenant: &str, name: &str) -> Result<()> {
        let query = self.query("DELETE FROM secrets WHERE tenant = $1 AND name = $2");
        let query = query.bind(tenant.to_owned()).bind(name.to_owned());
        match query.execute(&self.writers).await?.rows_affected() {
            0 => Err(Error::NotFound("secret")),
            _ => Ok(()),
        }
    }

    /// The values of a tenant's secrets of these names, for a job that is given them.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names one that is not there, or that another key has sealed.
    pub(crate) async fn open_secrets(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, String)>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .query("SELECT name, sealed FROM secrets WHERE name IN $ids AND tenant = $2")
            .bind(json(&names)?)
            .bind(tenant.to_owned())
            .fetch_all(&self.readers)
            .await?;
        let sealed = |row| Ok((text(row, "name")?, text(row, "sealed")?));
        let sealed = rows.iter().map(sealed).collect::<Result<BTreeMap<_, _>>>()?;
        let open = |name: &String| {
            let sealed = sealed.get(name);
            let sealed = sealed.ok_or_else(|| Error::Invalid(format!("there is no secret {name}")))?;
            let value = self.key()?.open(&place(tenant, name), sealed);
            let value =
                value.ok_or_else(|| Error::Invalid(format!("another key has sealed the secret {name}")))?;
            Ok((name.clone(), value))
        };
        names.iter().map(open).collect()
    }

    /// Seals by the key what the one before it has sealed: how many, and how many neither opens. Others may do so as well,
    /// and set secrets meanwhile.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn reseal(&self) -> Result<[usize; 2]> {
        let Some(key) = &self.key else {
            return Ok([0; 2]);
        };
        let ([mut resealed, mut closed], mut after) = ([0; 2], [String::new(), String::new()]);
        loop {
            let [tenant, name] = after.clone();
            let rows = self
                .query(
                    "SELECT tenant, name, sealed FROM secrets WHERE tenant > $1 OR (tenant = $1 AND name > $2)
                     ORDER BY tenant, name LIMIT $3",
                )
                .bind(tenant)
                .bind(name)
                .bind(MOST)
                .fetch_all(&self.readers)
                .await?;
            for row in &rows {
                let (tenant, name, sealed) = (text(row, "tenant")?, text(row, "name")?, text(row, "sealed")?);
                let place = place(&tenant, &name);
                if !key.has_sealed(&place, &sealed) {
                    match key.open(&place, &sealed) {
                        Some(value) => {
                            resealed += 1;
                            self.replace_sealed([&tenant, &name], &sealed, key.seal(&place, &value)?)
                                .await?;
                        }
                        None => closed += 1,
                    }
                }
                after = [tenant, name];
            }
            if (rows.len() as i64) < MOST {
                return Ok([resealed, closed]);
            }
        }
    }

    async fn replace_sealed(&self, [tenant, name]: [&str; 2], old: &str, new: String) -> Result<()> {
        self.query("UPDATE secrets SET sealed = $1 WHERE tenant = $2 AND name = $3 AND sealed = $4")
            .bind(new)
            .bind(tenant.to_owned())
            .bind(name.to_owned())
            .bind(old.to_owned())
            .execute(&self.writers)
            .await?;
        Ok(())
    }
}

/// What a value is sealed for. Neither has a space in it.
fn place(tenant: &str, name: &str) -> String {
    format!("{tenant} {name}")
}
