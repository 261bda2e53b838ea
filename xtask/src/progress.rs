//! What is going on, on stderr: spinners on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shared by everything that runs at the same time.
#[derive(Clone)]
pub struct Progress {
    /// None when stderr is no terminal.
    bars: Option<MultiProgress>,
}

impl Progress {
    pub fn new() -> Self {
        Self {
            bars: std::io::stderr().is_terminal().then(MultiProgress::new),
        }
    }

    /// Says nothing, for tests.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self {
            bars: Some(MultiProgress::with_draw_target(
                indicatif::ProgressDrawTarget::hidden(),
            )),
        }
    }

    /// One line that stays.
    pub fn note(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None => eprintln!("{text}"),
        }
    }

    /// A piece of work that takes a while.
    pub fn start(&self, name: &str) -> Step {
        let bar = self.bars.as_ref().map(|bars| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
                .expect("the template is well-formed");
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_message(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("{name} …");
        }
        Step {
            progress: self.clone(),
            name: name.to_owned(),
            started: Instant::now(),
            bar,
        }
    }
}

/// Work under way, from [`Progress::start`] to [`Step::finish`].
pub struct Step {
    progress: Progress,
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    pub fn finish(self, well: bool) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        let outcome = if well { "done in" } else { "failed after" };
        let seconds = self.started.elapsed().as_secs_f64();
        self.progress
            .note(&format!("{} {outcome} {seconds:.1} s", self.name));
    }
}
