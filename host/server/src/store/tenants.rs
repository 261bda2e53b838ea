//! Tenants and their tokens.

use super::ends::micros;
use super::jobs::parsed;
use super::{Store, int, json, maybe_int, text};
use crate::error::{Error, Result};
use crate::id;
use crate::job::Usage;
use crate::tenant::{self, Caller, Quotas, Scope, Tenant, Token};
use crate::time::Time;
use crate::wake::News;
use sqlx::Executor;
use sqlx::any::AnyRow;
use std::time::Duration;

/// The columns of a [`Tenant`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, created, max_running, max_queued, rules, cpu_us, cpu_hours, artifact_bytes, keep_ms FROM tenants ",
            $rest
        )
    };
}

impl Store {
    /// Makes a tenant.
    ///
    /// # Errors
    /// [`Error::Invalid`]; [`Error::Conflict`] if there is one of that name.
    pub async fn add_tenant(&self, id: &str, quotas: &Quotas) -> Result<Tenant> {
        if !tenant::is_name(id) {
            let message =
                "a tenant's name has 1 to 63 lower-case letters, digits and hyphens, and no hyphen first";
            return Err(Error::Invalid(message.into()));
        }
        quotas.check()?;
        let added = self
            .query(
                "INSERT INTO tenants (id, created, max_running, max_queued, rules, cpu_us, cpu_hours, artifact_bytes, keep_ms)
                 VALUES ($1, $now, $2, $3, $4, $5, $6, $7, $8)
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(id.to_owned())
            .bind(quotas.max_running)
            .bind(quotas.max_queued)
            .bind(json(&quotas.rules)?)
            .bind(quotas.cpu_time.map(micros))
            .bind(quotas.cpu_hours)
            .bind(quotas.artifact_bytes)
            .bind(quotas.keep.map(|seconds| (seconds * 1000.0) as i64))
            .execute(&self.writers)
            .await?;
        if added.rows_affected() == 0 {
            return Err(Error::Conflict(format!("there is a tenant {id} already")));
        }
        self.tenant(id).await
    }

    /// Replaces a tenant's quotas. Jobs that wait meet the new ones, jobs that run keep theirs.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NotFound`].
    pub async fn change_tenant(&self, id: &str, quotas: &Quotas) -> Result<Tenant> {
        self.change_tenant_if(id, quotas, |_| true).await
    }

    /// Replaces a tenant's quotas if those that it has are the expected ones.
    ///
    /// # Errors
    /// [`Error::Changed`] if not; [`Error::Invalid`], [`Error::NotFound`].
    pub(crate) async fn change_tenant_if(
        &self,
        id: &str,
        quotas: &Quotas,
        is_expected: impl FnOnce(&Quotas) -> bool,
    ) -> Result<Tenant> {
        quotas.check()?;
        let mut work = self.begin().await?;
        self.hold(&mut work, id).await?;
        if !is_expected(&self.tenant_in(&mut *work, id).await?.quotas) {
            return Err(Error::Changed);
        }
        let query = self.query(
            "UPDATE tenants SET max_running = $2, max_queued = $3, rules = $4, cpu_us = $5, cpu_hours = $6, artifact_bytes = $7, keep_ms = $8
             WHERE id = $1",
        );
        query
            .bind(id.to_owned())
            .bind(quotas.max_running)
            .bind(quotas.max_queued)
            .bind(json(&quotas.rules)?)
            .bind(quotas.cpu_time.map(micros))
            .bind(quotas.cpu_hours)
            .bind(quotas.artifact_bytes)
            .bind(quotas.keep.map(|seconds| (seconds * 1000.0) as i64))
            .execute(&mut *work)
            .await?;
        let tenant = self.tenant_in(&mut *work, id).await?;
        work.commit().await?;
        self.wake.tell(News::Queue);
        Ok(tenant)
    }

    /// One tenant.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn tenant(&self, id: &str) -> Result<Tenant> {
        self.tenant_in(&self.readers, id).await
    }

    async fn tenant_in<'a>(&self, at: impl Executor<'a, Database = sqlx::Any>, id: &str) -> Result<Tenant> {
        let query = self.query(select!("WHERE id = $1"));
        let row = query.bind(id.to_owned()).fetch_optional(at).await?;
        tenant(&row.ok_or(Error::NotFound("tenant"))?)
    }

    /// Up to `limit` tenants by name, after the name `after`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn tenants(&self, after: &str, limit: i64) -> Result<Vec<Tenant>> {
        let rows = self
            .query(select!("WHERE id > $1 ORDER BY id LIMIT $2"))
            .bind(after.to_owned())
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(tenant).collect()
    }

    /// Makes a token. What is returned first is the secret itself, which is not kept.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn add_token(
        &self,
        tenant: &str,
        scopes: &[Scope],
        lifetime: Option<Duration>,
    ) -> Result<(String, Token)> {
        let (secret, id) = (id::token(), id::new("token"));
        let words = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>();
        let added = self
            .query(
                "INSERT INTO tokens (id, hash, tenant, scopes, created, expires)
                 SELECT $1, $2, tenants.id, $4, $now, $now + $5 FROM tenants WHERE tenants.id = $3",
            )
            .bind(id.clone())
            .bind(id::hash(&secret))
            .bind(tenant.to_owned())
            .bind(words.join(" "))
            .bind(lifetime.map(super::millis))
            .execute(&self.writers)
            .await?;
        if added.rows_affected() == 0 {
            return Err(Error::NotFound("tenant"));
        }
        let tokens = self.tokens(tenant).await?;
        let token = tokens.into_iter().find(|token| token.id == id);
        Ok((secret, token.ok_or(Error::NotFound("token"))?))
    }

    /// A tenant's tokens, without their secrets.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn tokens(&self, tenant: &str) -> Result<Vec<Token>> {
        let query =
            self.query("SELECT id, scopes, created, expires FROM tokens WHERE tenant = $1 ORDER BY id");
        let rows = query.bind(tenant.to_owned()).fetch_all(&self.readers).await?;
        let token = |row| {
            Ok(Token {
                id: text(row, "id")?,
                scopes: Scope::all_in(&text(row, "scopes")?),
                created: Time(int(row, "created")?),
                expires: maybe_int(row, "expires")?.map(Time),
            })
        };
        rows.iter().map(token).collect()
    }

    /// Ends a token at once.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_token(&self, tenant: &str, id: &str) -> Result<()> {
        let removed = self
            .query("DELETE FROM tokens WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_owned())
            .bind(id.to_owned())
            .execute(&self.writers)
            .await?;
        match removed.rows_affected() {
            0 => Err(Error::NotFound("token")),
            _ => Ok(()),
        }
    }

    /// Whose secret this is, if it is anybody's.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn caller(&self, secret: &str) -> Result<Option<Caller>> {
        let row = self
            .query(
                "SELECT tenant, scopes FROM tokens WHERE hash = $1 AND (expires IS NULL OR expires > $now)",
            )
            .bind(id::hash(secret))
            .fetch_optional(&self.readers)
            .await?;
        let caller = |row| {
            Ok(Caller {
                tenant: text(row, "tenant")?,
                scopes: Scope::all_in(&text(row, "scopes")?),
            })
        };
        row.as_ref().map(caller).transpose()
    }

    /// What a tenant's runs have used, all in all: their number, and the sums.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn used(&self, tenant: &str) -> Result<(i64, Usage)> {
        let row = self
            .query(
                "SELECT CAST(coalesce(sum(runs), 0) AS BIGINT) AS runs, CAST(coalesce(sum(cpu_us), 0) AS BIGINT) AS cpu_us,
                     CAST(coalesce(sum(wall_us), 0) AS BIGINT) AS wall_us, CAST(coalesce(sum(output), 0) AS BIGINT) AS output
                 FROM usage WHERE tenant = $1",
            )
            .bind(tenant.to_owned())
            .fetch_one(&self.readers)
            .await?;
        let usage = Usage {
            cpu_time: int(&row, "cpu_us")? as f64 / 1e6,
            wall_time: int(&row, "wall_us")? as f64 / 1e6,
            memory: 0,
            output: int(&row, "output")?,
        };
        Ok((int(&row, "runs")?, usage))
    }
}

fn tenant(row: &AnyRow) -> Result<Tenant> {
    Ok(Tenant {
        id: text(row, "id")?,
        created: Time(int(row, "created")?),
        quotas: Quotas {
            max_running: int(row, "max_running")?,
            max_queued: int(row, "max_queued")?,
            cpu_time: maybe_int(row, "cpu_us")?.map(|micros| micros as f64 / 1e6),
            cpu_hours: int(row, "cpu_hours")?,
            artifact_bytes: int(row, "artifact_bytes")?,
            keep: maybe_int(row, "keep_ms")?.map(|millis| millis as f64 / 1e3),
            rules: parsed(&text(row, "rules")?)?,
        },
    })
}
