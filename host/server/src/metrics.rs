//! What is counted, as Prometheus reads it. Labels are of few values: routes, states, statuses; never a tenant, of
//! which there may be any number.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Mutex;
use std::time::Duration;

/// Upper bounds in seconds, from an answer at once to a job of an hour.
const BOUNDS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
];

/// How long something took, how often.
#[derive(Clone, Default)]
struct Histogram {
    /// How many were within each bound and not within the one before.
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// Histograms of one thing, each with its labels.
#[derive(Default)]
pub(crate) struct Durations(Mutex<BTreeMap<String, Histogram>>);

impl Durations {
    /// Labels are as they are written: `state="SUCCESS"`.
    pub(crate) fn add(&self, labels: String, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut all = self.0.lock().expect("no code panics with the lock");
        let histogram = all.entry(labels).or_default();
        if let Some(index) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            histogram.within[index] += 1;
        }
        histogram.count += 1;
        histogram.sum += seconds;
    }
}

/// A text for Prometheus.
#[derive(Default)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn finish(self) -> String {
        self.0
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// What goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    /// What only goes up.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(String::new(), value)]);
    }

    /// What only goes up, with labels in braces.
    pub(crate) fn counters(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.head(name, "counter", help);
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// How long things took.
    pub(crate) fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.head(name, "histogram", help);
        let all = durations.0.lock().expect("no code panics with the lock").clone();
        for (labels, histogram) in all {
            let mut sum = 0;
            for (bound, count) in BOUNDS.iter().zip(histogram.within) {
                sum += count;
                let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"{bound}\"}} {sum}");
            }
            let count = histogram.count;
            let _ = writeln!(self.0, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
            let _ = writeln!(self.0, "{name}_sum{{{labels}}} {}", histogram.sum);
            let _ = writeln!(self.0, "{name}_count{{{labels}}} {count}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Durations, Text};
    use std::time::Duration;

    #[test]
    fn a_histogram_counts_what_is_within_each_bound() {
        let durations = Durations::default();
        for millis in [1, 4, 4, 7_000_000] {
            durations.add("x=\"y\"".into(), Duration::from_millis(millis));
        }
        let mut text = Text::default();
        text.durations("t", "Times.", &durations);
        let text = text.finish();
        for line in [
            "# TYPE t histogram",
            "t_bucket{x=\"y\",le=\"0.001\"} 1",
            "t_bucket{x=\"y\",le=\"0.005\"} 3",
            "t_bucket{x=\"y\",le=\"3600\"} 3",
            "t_bucket{x=\"y\",le=\"+Inf\"} 4",
            "t_sum{x=\"y\"} 7000.009",
            "t_count{x=\"y\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
