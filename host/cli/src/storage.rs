//! Where `vtwasm serve` keeps tenants' files: a folder, or storage that speaks S3.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};
use vtwasm_server::BucketAddress;

use crate::failure::Failure;

/// The flags of storage that is no folder. Keys are never among them: everybody on the machine sees a command line.
#[derive(Debug, Args)]
pub struct StorageOptions {
    /// Where storage is that is not AWS's; AWS_ENDPOINT_URL_S3 counts as well
    #[arg(long, value_name = "URL", env = "VTWASM_S3_ENDPOINT")]
    pub s3_endpoint: Option<String>,

    /// The bucket's region; AWS_REGION counts as well
    #[arg(long, value_name = "NAME", env = "VTWASM_S3_REGION")]
    pub s3_region: Option<String>,

    /// Where a request names the bucket
    #[arg(long, value_name = "WHERE", env = "VTWASM_S3_STYLE", default_value = "path")]
    pub s3_style: Style,

    /// A file with aws_access_key_id and aws_secret_access_key, as ~/.aws/credentials is; without it AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN count
    #[arg(long, value_name = "FILE", env = "VTWASM_S3_CREDENTIALS")]
    pub s3_credentials: Option<PathBuf>,

    /// Where files of a bucket are while jobs use them. Without, beside SQLite's file or in the user's data folder
    #[arg(long, value_name = "DIR", env = "VTWASM_SCRATCH")]
    pub scratch: Option<PathBuf>,
}

/// Where a request names the bucket.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Style {
    /// https://HOST/BUCKET
    Path,
    /// https://BUCKET.HOST
    Host,
}

/// What `--files` names, if that is a bucket.
pub fn bucket(files: Option<&str>, options: &StorageOptions) -> Result<Option<BucketAddress>> {
    let Some(url) = files.filter(|files| files.contains("://")) else {
        return Ok(None);
    };
    if !url.starts_with("s3://") {
        let scheme = url.split("://").next().unwrap_or_default();
        return Err(
            Failure::usage(format!("--files: there is no support for {scheme}://"))
                .hint("give a folder, or s3://BUCKET/PREFIX")
                .into(),
        );
    }
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let keys = match &options.s3_credentials {
        Some(file) => credentials(file)?,
        None => KEYS.map(set),
    };
    let [Some(access_key), Some(secret_key), session_token] = keys else {
        let hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with --s3-credentials";
        return Err(Failure::usage(format!("--files: there are no keys for {url}"))
            .hint(hint)
            .into());
    };
    let endpoint = options.s3_endpoint.clone();
    let region = options.s3_region.clone();
    Ok(Some(BucketAddress {
        url: url.to_owned(),
        endpoint: endpoint
            .or_else(|| set("AWS_ENDPOINT_URL_S3"))
            .or_else(|| set("AWS_ENDPOINT_URL")),
        region: region
            .or_else(|| set("AWS_REGION"))
            .or_else(|| set("AWS_DEFAULT_REGION")),
        by_host: matches!(options.s3_style, Style::Host),
        access_key,
        secret_key,
        session_token,
    }))
}

/// As AWS's programs name them in the environment, and in files in lower case.
const KEYS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// What a file of credentials says, of the profile where it has sections.
fn credentials(file: &Path) -> Result<[Option<String>; 3]> {
    let read = fs::read_to_string(file);
    let text = read.map_err(|error| {
        let message = format!("--s3-credentials: {}: {error}", file.display());
        Failure::usage(message).hint("name a file that can be read")
    })?;
    let profile = env::var("AWS_PROFILE").unwrap_or_else(|_| "default".into());
    let found = keys(&text, &profile);
    if found[..2].contains(&None) {
        let message = format!(
            "--s3-credentials: {} has no keys of the profile {profile}",
            file.display()
        );
        let hint = "it has the lines aws_access_key_id = … and aws_secret_access_key = …";
        return Err(Failure::usage(message).hint(hint).into());
    }
    Ok(found)
}

fn keys(text: &str, profile: &str) -> [Option<String>; 3] {
    let mut section = profile;
    let mut found = [None, None, None];
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name.trim();
        } else if let Some((name, value)) = line.split_once('=')
            && section == profile
        {
            let is_name = |key: &str| key.eq_ignore_ascii_case(name.trim());
            if let Some(at) = KEYS.iter().position(|key| is_name(key)) {
                found[at] = Some(value.trim().to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn a_file_s_keys_are_those_of_the_profile() {
        let text = "# ours\n[default]\naws_access_key_id = A\naws_secret_access_key=b=\nregion = x\n[other]\naws_access_key_id=C\n";
        let found = |text, profile| keys(text, profile).map(|key| key.unwrap_or_default());
        assert_eq!(found(text, "default"), ["A", "b=", ""]);
        assert_eq!(found(text, "other"), ["C", "", ""]);
        assert_eq!(found(text, "none"), ["", "", ""]);
        assert_eq!(found("aws_access_key_id = A", "default"), ["A", "", ""]);
    }
}
