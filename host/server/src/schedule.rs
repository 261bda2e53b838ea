//! A schedule: a submission that is made again and again, at times that a cron expression tells.

use crate::error::{Error, Result};
use crate::job::Submission;
use crate::time::Time;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What becomes of turns that nobody took in time, within a minute: the service was not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Missed {
    /// They are left out.
    #[default]
    Skip,
    /// One is made up for, however many they were.
    One,
}

/// What a tenant asks for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSchedule {
    /// Minute, hour, day of the month, month and day of the week, as cron has them; or `@hourly`, `@daily`, `@weekly`, `@monthly`.
    #[schema(example = "30 2 * * MON-FRI")]
    pub cron: String,
    /// Whose hours these are. A time that a change of clocks leaves out is its first moment after; one that comes twice is the first.
    #[serde(default = "utc")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: String,
    /// What becomes of missed turns.
    #[serde(default)]
    pub missed: Missed,
    /// What is submitted at each turn.
    pub submission: Submission,
}

fn utc() -> String {
    "UTC".into()
}

/// A schedule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    #[schema(example = "schedule_0199f3a5c7d0b1c2d3e4f5061728394a")]
    pub id: String,
    /// Whose it is.
    #[schema(example = "research")]
    pub tenant: String,
    /// When its turns are.
    pub cron: String,
    /// Whose hours these are.
    pub timezone: String,
    /// What becomes of missed turns.
    pub missed: Missed,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Time,
    /// Its next turn; null: there is none any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next: Option<Time>,
    /// Its last turn.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last: Option<Time>,
    /// The job of its last turn.
    pub job: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// What is submitted; in a list it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<Submission>,
}

impl NewSchedule {
    /// Refuses what cannot be done, now or ever.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub(crate) fn check(&self, now: i64) -> Result<i64> {
        self.submission.check()?;
        let next = next(&self.cron, &self.timezone, now)?;
        next.ok_or_else(|| Error::Invalid("cron: there is no such time".into()))
    }
}

/// The first turn after `after`, in milliseconds since 1970.
pub(crate) fn next(cron: &str, timezone: &str, after: i64) -> Result<Option<i64>> {
    let invalid = |message: String| Error::Invalid(message);
    if cron.len() > 255 || timezone.len() > 255 {
        return Err(invalid("cron, timezone: at most 255 bytes".into()));
    }
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .build();
    let cron = parser.parse(cron);
    let cron = cron.map_err(|error| invalid(format!("cron: {error}")))?;
    let timezone = TimeZone::get(timezone);
    let timezone = timezone.map_err(|_| {
        invalid("timezone: it is none that is known; they are called as Europe/Berlin is, or UTC".into())
    })?;
    let after = Timestamp::from_millisecond(after).map_err(|error| invalid(error.to_string()))?;
    let next = cron.find_next_occurrence(&after.to_zoned(timezone), false);
    Ok(next.ok().map(|next| next.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(time: &str, cron: &str, timezone: &str) -> String {
        let time = time.parse::<Timestamp>().unwrap().as_millisecond();
        let next = next(cron, timezone, time).unwrap();
        next.map_or("never".into(), |next| Time(next).to_string())
    }

    #[test]
    fn turns_are_at_hours_of_a_time_zone_each_day_once() {
        for (time, cron, timezone, expected) in [
            (
                "2025-11-23T14:46:07Z",
                "0 3 * * *",
                "UTC",
                "2025-11-24T03:00:00.000Z",
            ),
            (
                "2025-11-23T14:46:07Z",
                "0 3 * * *",
                "Europe/Berlin",
                "2025-11-24T02:00:00.000Z",
            ),
            (
                "2025-11-24T03:00:00Z",
                "0 3 * * *",
                "UTC",
                "2025-11-25T03:00:00.000Z",
            ),
            (
                "2025-11-24T02:59:59.999Z",
                "0 3 * * *",
                "UTC",
                "2025-11-24T03:00:00.000Z",
            ),
            (
                "2024-02-29T00:00:00Z",
                "0 0 29 2 *",
                "UTC",
                "2028-02-29T00:00:00.000Z",
            ),
            (
                "2025-11-23T14:46:07Z",
                "@weekly",
                "UTC",
                "2025-11-30T00:00:00.000Z",
            ),
            // The hour that is left out, and the one that comes twice.
            (
                "2026-03-28T12:00:00Z",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-29T01:00:00.000Z",
            ),
            (
                "2026-03-29T01:00:00Z",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-03-30T00:30:00.000Z",
            ),
            (
                "2026-10-24T12:00:00Z",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-25T00:30:00.000Z",
            ),
            (
                "2026-10-25T00:30:00Z",
                "30 2 * * *",
                "Europe/Berlin",
                "2026-10-26T01:30:00.000Z",
            ),
            ("2025-11-23T14:46:07Z", "0 0 30 2 *", "UTC", "never"),
        ] {
            assert_eq!(after(time, cron, timezone), expected, "{time} {cron} {timezone}");
        }
    }

    #[test]
    fn what_is_no_time_or_no_place_is_refused() {
        let long = "0,".repeat(200);
        for cron in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "@reboot",
            "a b c d e",
            "\0",
            "0 0 0 0 0",
            &long,
        ] {
            let error = next(cron, "UTC", 0).unwrap_err().to_string();
            assert!(error.starts_with("cron"), "{cron:.20}: {error}");
        }
        for timezone in [
            "",
            "nowhere",
            "../../etc/passwd",
            "/etc/localtime",
            "Europe/Berlin\0",
        ] {
            let error = next("@daily", timezone, 0).unwrap_err().to_string();
            assert!(error.starts_with("timezone"), "{timezone}: {error}");
        }
    }
}
