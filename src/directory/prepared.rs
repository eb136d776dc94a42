//! Directories before they are in force: what a configuration says of them, and what their files say. Refuses to start any.

use std::path::PathBuf;
use std::sync::Arc;

use super::access::Access;
use super::escape::filter_for;
use super::pool::is_filter;
use crate::config::{Config, DirectoryConfig};

/// A host's directory with what its files say: ready to be put in force.
pub struct Prepared {
    pub host: Arc<str>,
    pub config: Arc<DirectoryConfig>,
    pub access: Access,
}

impl Prepared {
    /// One whose files were read.
    pub fn new(host: &Arc<str>, config: &Arc<DirectoryConfig>, access: Access) -> Prepared {
        Prepared {
            host: Arc::clone(host),
            config: Arc::clone(config),
            access,
        }
    }
}

/// The directories that a configuration names, with their files read. `beside` makes a path of what an option says.
///
/// # Errors
/// For each that is wrong: the host's place in the configuration, the option with its section, and why.
pub fn prepare(
    config: &Config,
    beside: &dyn Fn(&str) -> PathBuf,
) -> Result<Vec<Prepared>, Vec<(usize, String, String)>> {
    let mut prepared = Vec::new();
    let mut errors = Vec::new();
    for (index, host) in config.hosts.iter().enumerate() {
        let Some(directory) = &host.directory else {
            continue;
        };
        for (option, filter) in filters(directory) {
            // Of somebody, and of everybody (`person::query_for_all`).
            let forms = [filter_for(filter, "name"), filter.replace("{user}", "*")];
            if !forms.iter().all(|form| is_filter(form)) {
                let message = "is no filter as RFC 4515 writes it".to_owned();
                errors.push((index, option.to_owned(), message));
            }
        }
        match Access::read(directory, beside) {
            Ok(access) => prepared.push(Prepared::new(&host.name, directory, access)),
            Err((option, message)) => errors.push((index, format!("directory.{option}"), message)),
        }
    }
    match errors.is_empty() {
        true => Ok(prepared),
        false => Err(errors),
    }
}

/// Every filter that options hold, by the option.
fn filters(directory: &DirectoryConfig) -> Vec<(&'static str, &str)> {
    let options = &directory.options;
    let mut filters = vec![
        ("directory.filter", options.filter.as_str()),
        ("directory.rooms_filter", options.rooms_filter.as_str()),
    ];
    if let Some(groups) = &directory.groups {
        filters.push(("directory_groups.filter", &groups.options.filter));
        filters.push((
            "directory_groups.lists_filter",
            &groups.options.lists_filter,
        ));
    }
    // Where nothing marks a list.
    filters.retain(|(_, filter)| !filter.is_empty());
    filters
}
