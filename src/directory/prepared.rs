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

    /// Whether a directory that was started with these is what one of this would be: the options are the same, and so is what
    /// the files say that they name.
    pub fn is_as(&self, config: &DirectoryConfig, access: &Access) -> bool {
        let has_read = |access: &Access| (access.identity.clone(), access.files);
        *self.config == *config && has_read(&self.access) == has_read(access)
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

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::directory::person;

    const OPTIONS: &str = "bind_dn = \"cn=a\"\npassword_file = \"password\"\nca = \"ca\"\ncertificate = \"own\"\nkey = \"key\"\n";

    fn pem(name: &str, key: &KeyPair) -> String {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.self_signed(key).expect("a certificate").pem()
    }

    #[test]
    fn a_directory_is_the_same_while_its_options_and_what_its_files_say_are() {
        let files = env::temp_dir().join(format!("stonechat-prepared-{}", process::id()));
        fs::create_dir_all(&files).expect("a directory");
        let write = |name: &str, text: &str| fs::write(files.join(name), text).expect("a file");
        let read = |options: &str| {
            let config = person::tests::config(options);
            let access = Access::read(&config, &|name| files.join(name)).map_err(|error| error.1);
            Prepared::new(&config.host, &config, access.expect("in order"))
        };
        let (key, other) = [(); 2].map(|()| KeyPair::generate().expect("a key")).into();
        let [a, b, c] = ["a.example", "b.example", "c.example"].map(|name| pem(name, &key));
        let (ours, others) = (key.serialize_pem(), other.serialize_pem());
        let set = |ca: &str, own: &str, key: &str, password: &str| {
            write("ca", ca);
            write("own", own);
            write("key", key);
            write("password", password);
        };
        let chain = format!("{b}{c}");
        set(&a, &chain, &ours, "dagger");
        let kept = read(OPTIONS);
        let is_kept = |options: &str| read(options).is_as(&kept.config, &kept.access);
        assert!(is_kept(OPTIONS));
        let both = format!("{a}{b}");
        for (ca, own, key, password) in [
            (&c, &chain, &ours, "dagger"),
            (&both, &chain, &ours, "dagger"),
            (&a, &b, &ours, "dagger"),
            (&a, &pem("b.example", &other), &others, "dagger"),
            (&a, &chain, &ours, "poison"),
            // The certificates are the same in the same order.
            (&both, &c, &ours, "dagger"),
        ] {
            set(ca, own, key, password);
            assert!(!is_kept(OPTIONS), "{ca} {own} {password}");
        }
        set(&a, &chain, &ours, "dagger\nand a line below");
        assert!(is_kept(OPTIONS));
        for more in [
            "fresh = \"7 min\"\n",
            "[host.directory_cards]\nsource = \"off\"\n",
            "[host.directory_groups]\nbase = \"ou=groups,dc=a\"\n",
        ] {
            assert!(!is_kept(&format!("{OPTIONS}{more}")), "{more}");
        }
        let there = DirectoryConfig {
            host: Arc::from("mantua.example"),
            ..DirectoryConfig::clone(&kept.config)
        };
        assert!(!kept.is_as(&there, &kept.access));
        fs::remove_dir_all(&files).expect("it is there");
    }
}
