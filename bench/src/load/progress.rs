//! How far a run is: a bar on a terminal, a line for each phase elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub fn new() -> Self {
        let bar = ProgressBar::new(1);
        let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {elapsed:>4} {msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }

    /// Begins a phase of so many steps.
    pub fn phase(&self, name: &str, steps: u64) {
        if self.bar.prefix() == name {
            self.bar.set_length(steps.max(1));
            return;
        }
        self.bar.set_prefix(name.to_owned());
        self.bar.set_length(steps.max(1));
        self.bar.set_position(0);
        if self.bar.is_hidden() {
            eprintln!("{name}");
        }
    }

    pub fn at(&self, step: u64, message: String) {
        self.bar.set_position(step);
        self.bar.set_message(message);
        self.bar.tick();
    }

    pub fn done(&self) {
        self.bar.finish_and_clear();
    }

    /// How often it is worth showing.
    pub const INTERVAL: Duration = Duration::from_millis(100);
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
