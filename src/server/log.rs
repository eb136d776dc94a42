//! The log: one event one line on standard error, `TIME LEVEL module event_name key=value ...`. Refuses to
//! know events.

use std::io::Write;

use env_logger::Logger;
use log::{Log, Metadata, Record};
use parking_lot::RwLock;

/// Starts logging with this filter, which was checked with the configuration. Only the first call counts.
pub fn start(filter: &str) {
    let logger = logger(filter);
    log::set_max_level(logger.filter());
    *LOGGER.0.write() = Some(logger);
    // Fails if it is set already, which is what this wants.
    let _ = log::set_logger(&LOGGER);
}

/// Takes another filter over after a reload.
pub fn set_filter(filter: &str) {
    let logger = logger(filter);
    log::set_max_level(logger.filter());
    *LOGGER.0.write() = Some(logger);
}

fn logger(filter: &str) -> Logger {
    let mut builder = env_logger::Builder::new();
    builder.parse_filters(filter).format(|out, record| {
        let now = jiff::Timestamp::now();
        writeln!(
            out,
            "{now:.3} {} {} {}",
            record.level(),
            record.target(),
            record.args()
        )
    });
    builder.build()
}

/// env_logger has no way to change the filter of a running logger.
struct Reloadable(RwLock<Option<Logger>>);

static LOGGER: Reloadable = Reloadable(RwLock::new(None));

impl Log for Reloadable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !is_indiscreet(metadata.target())
            && self
                .0
                .read()
                .as_ref()
                .is_some_and(|logger| logger.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata())
            && let Some(logger) = self.0.read().as_ref()
        {
            logger.log(record);
        }
    }

    fn flush(&self) {}
}

/// ldap3 writes whole entries, passwords and keys among their values, into warnings of answers that nobody takes any more.
fn is_indiscreet(target: &str) -> bool {
    target.split("::").next() == Some("ldap3")
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Level;

    #[test]
    fn what_may_hold_a_password_is_in_no_log_whatever_its_filter_says() {
        let logger = Reloadable(RwLock::new(Some(logger("trace,ldap3::conn=trace"))));
        let is_on = |target: &str| {
            let metadata = Metadata::builder()
                .target(target)
                .level(Level::Error)
                .build();
            logger.enabled(&metadata)
        };
        assert!(is_on("stonechat::directory") && is_on("ldap3_proto") && is_on("rustls"));
        assert!(!is_on("ldap3") && !is_on("ldap3::conn"));
    }
}
