//! SIGHUP as one transaction: read and check everything, then change all that may change or nothing. Refuses
//! to send anything to workers; whoever calls does that with what comes out.

use crate::config::{Change, Config, ConfigError, Reload, difference, live_part};

/// A reload that may go ahead.
#[derive(Debug)]
pub struct Reloaded<C> {
    /// What is in force now: the new values of live options, those of the start for the others.
    pub config: Config,
    pub certificates: C,
    /// Changed now.
    pub live: Vec<Change>,
    /// Differ from what the server was started with, and wait for the next start.
    pub waiting: Vec<Change>,
}

/// Prepares the step from `current` to what `load` reads. `started` is what the server was started with.
/// `certificates` reads those of the new hosts.
///
/// # Errors
/// Everything that is wrong with the new configuration; the old one stays then.
pub fn reload<C>(
    started: &Config,
    current: &Config,
    load: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    certificates: impl FnOnce(&Config) -> Result<C, Vec<ConfigError>>,
) -> Result<Reloaded<C>, Vec<ConfigError>> {
    let new = load()?;
    let waiting = difference(started, &new)
        .into_iter()
        .filter(|change| change.reload == Reload::Restart)
        .collect();
    let config = live_part(started, &new);
    // Those of all hosts that will be served: a broken file of one keeps the old ones of all.
    let certificates = certificates(&config)?;
    let live = difference(current, &config);
    Ok(Reloaded {
        config,
        certificates,
        live,
        waiting,
    })
}

/// The lines that the operator sees, in the log and as the answer of the control socket.
pub fn report<C>(outcome: &Result<Reloaded<C>, Vec<ConfigError>>) -> Vec<String> {
    let mut lines = Vec::new();
    match outcome {
        Ok(reloaded) => {
            lines.extend(
                reloaded
                    .live
                    .iter()
                    .map(|change| format!("changed: {change}")),
            );
            lines.extend(
                reloaded
                    .waiting
                    .iter()
                    .map(|change| format!("needs a restart: {change}")),
            );
            if lines.is_empty() {
                lines.push("no option changed; certificates were read again".to_owned());
            }
        }
        Err(errors) => {
            lines.extend(errors.iter().map(|error| format!("refused: {error}")));
            lines.push("nothing changed: the old configuration stays".to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Outside, load};

    const OUTSIDE: Outside<'_> = Outside {
        features: &[],
        address: |_| Ok(()),
        log_filter: |_| Ok(()),
        cores: 1,
    };

    fn config(text: &str) -> Config {
        load("s.toml", text, &OUTSIDE).expect("valid")
    }

    fn outcome(started: &str, current: &str, new: &str) -> Result<Reloaded<()>, Vec<ConfigError>> {
        reload(
            &config(started),
            &config(current),
            || load("s.toml", new, &OUTSIDE),
            |_| Ok(()),
        )
    }

    #[test]
    fn live_options_change_and_the_others_wait_for_a_restart() {
        let new = "[sm]\nresume_timeout = \"1 min\"\n[server]\nworkers = 2\n";
        let outcome = outcome("", "", new);
        assert_eq!(
            report(&outcome),
            [
                "changed: sm.resume_timeout: \"5 min\" -> \"1 min\"",
                "needs a restart: server.workers: 0 -> 2",
            ]
        );
        let reloaded = outcome.expect("valid");
        assert_eq!(reloaded.config.server.workers, 0);
        assert_eq!(reloaded.config.sm.resume_timeout.to_string(), "1 min");
    }

    #[test]
    fn a_second_reload_still_says_what_waits_but_not_what_changed_before() {
        let live = "[sm]\nresume_timeout = \"1 min\"\n";
        let new = "[sm]\nresume_timeout = \"1 min\"\n[server]\nworkers = 2\n";
        assert_eq!(
            report(&outcome("", live, new)),
            ["needs a restart: server.workers: 0 -> 2"]
        );
    }

    #[test]
    fn one_wrong_line_keeps_everything_as_it_is() {
        let outcome = outcome(
            "",
            "",
            "[sm]\nresume_timeout = \"1 min\"\nunacked = 5\n[server]\nworkers = \"x\"\n",
        );
        let lines = report(&outcome);
        assert!(outcome.is_err());
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[2], "nothing changed: the old configuration stays");
    }

    #[test]
    fn one_broken_certificate_keeps_everything_as_it_is() {
        let old = config("");
        let refuse = |config: &Config| {
            Err::<(), _>(vec![
                config.places().error("host[0].certificate", "is expired"),
            ])
        };
        let outcome = reload(
            &old,
            &old,
            || load("s.toml", "[sm]\nunacked_count = 9\n", &OUTSIDE),
            refuse,
        );
        assert_eq!(
            report(&outcome)[0],
            "refused: s.toml: host[0].certificate: is expired"
        );
    }

    #[test]
    fn certificates_are_read_again_even_if_no_option_changed() {
        assert_eq!(
            report(&outcome("", "", "")),
            ["no option changed; certificates were read again"]
        );
    }
}
