//! Reading the configuration file and what it points to. Refuses to judge options (`config/` does), except
//! what only the system's own parsers can.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::{Certificate, Config, ConfigError, HostConfig, Outside, load};

/// Features that have a switch in `[features]`.
pub const FEATURE_NAMES: &[&str] = &crate::features::NAMES;

/// Reads the configuration at `path`, or the defaults if there is none.
///
/// # Errors
/// All that is wrong; a file that cannot be read is one error.
pub fn read_config(path: Option<&Path>) -> Result<Config, Vec<ConfigError>> {
    let outside = Outside {
        features: FEATURE_NAMES,
        address,
        log_filter,
        cores: cores(),
    };
    let Some(path) = path else {
        return load("(defaults)", "", &outside);
    };
    let file = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => load(&file, &text, &outside),
        Err(error) => Err(vec![ConfigError {
            file,
            line: None,
            path: String::new(),
            message: error.to_string(),
        }]),
    }
}

/// A path as the configuration file means it: a relative one starts at the file's directory.
pub fn beside_config(config: Option<&Path>, path: &str) -> PathBuf {
    let directory = config.and_then(Path::parent).unwrap_or(Path::new(""));
    directory.join(path)
}

/// Reads the certificate of a host from its files; none if it is a self-signed one of ours.
///
/// # Errors
/// The option that is wrong, of `certificate` and `key`, and why.
pub fn read_certificate(
    config: Option<&Path>,
    host: &HostConfig,
) -> Result<Option<CertifiedKey>, (&'static str, String)> {
    let Certificate::Files { certificate, key } = &host.certificate else {
        return Ok(None);
    };
    let certificate = beside_config(config, certificate);
    let key = beside_config(config, key);
    let failed = |option: &'static str, path: &Path, error: String| {
        (option, format!("{}: {error}", path.display()))
    };

    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| failed("certificate", &certificate, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(
            "certificate",
            &certificate,
            "there is no certificate in this file".to_owned(),
        ));
    }
    let private = PrivateKeyDer::from_pem_file(&key);
    let private = private.map_err(|error| failed("key", &key, error.to_string()))?;
    // Compares the public keys, too.
    let certified =
        CertifiedKey::from_der(chain, private, &rustls::crypto::ring::default_provider());
    let certified = certified.map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => failed(
            "key",
            &key,
            format!("is not the key of {}", certificate.display()),
        ),
        error => failed("key", &key, error.to_string()),
    })?;
    Ok(Some(certified))
}

fn address(text: &str) -> Result<(), String> {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => {
            Err("is no IP address and port, such as \"192.0.2.1:5222\" or \"[::]:5222\"".to_owned())
        }
    }
}

/// Cores that this process may use.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn log_filter(text: &str) -> Result<(), String> {
    env_filter::Builder::new()
        .try_parse(text)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_log_filters_are_judged_by_their_own_parsers() {
        assert!(address("[::]:5222").is_ok());
        assert!(address("localhost:5222").is_err());
        assert!(log_filter("info,stonechat::stream=debug").is_ok());
        assert!(log_filter("info,stonechat=loud").is_err());
    }

    #[test]
    fn a_relative_path_starts_at_the_configuration_file() {
        let file = Path::new("/etc/stonechat/stonechat.toml");
        assert_eq!(
            beside_config(Some(file), "a.pem"),
            Path::new("/etc/stonechat/a.pem")
        );
        assert_eq!(beside_config(Some(file), "/b.pem"), Path::new("/b.pem"));
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let errors = read_config(Some(Path::new("/nonexistent/s.toml"))).expect_err("is not there");
        assert!(errors[0].to_string().starts_with("/nonexistent/s.toml: "));
    }
}
