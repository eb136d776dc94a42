//! The certificates of the configured hosts, ready for handshakes. Refuses to know connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::actor::audit::AuditEvent;
use crate::config::{Certificate, ClientCertificates, Config, ConfigError, TlsVersion};
use crate::stream;
use crate::worker::{Authorities, HostCertificate, Keeper, TlsContext, TlsWishes};

use super::data;
use super::settings::read_certificate;

/// Where certificates come from, the same over all reloads.
pub struct CertificateSource {
    /// The configuration file, beside which relative paths start.
    pub config: Option<PathBuf>,
    /// The data directory: self-signed certificates are made in `cert/`, and authorities whose
    /// certificates log clients in are read from `cert/client-ca.pem`.
    pub data: PathBuf,
}

impl CertificateSource {
    /// Reads everything anew, for what replaces `before`.
    ///
    /// # Errors
    /// All hosts whose certificate is wrong, and the authorities that cannot be used.
    pub fn context(
        &self,
        config: &Config,
        before: Option<&TlsContext>,
    ) -> Result<TlsContext, Vec<ConfigError>> {
        let mut hosts = Vec::with_capacity(config.hosts.len());
        let mut errors = Vec::new();
        for index in 0..config.hosts.len() {
            match self.host(config, index) {
                Ok(host) => hosts.push(host),
                Err(error) => errors.push(error),
            }
        }
        let client_authorities = client_authorities(&self.data).unwrap_or_else(|message| {
            errors.push(authorities_place(config, message));
            Authorities::default()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let wishes = TlsWishes {
            hosts,
            versions: config.tls.versions.iter().map(version).collect(),
            client_authorities,
            handshake_timeout_ms: config.c2s.handshake_timeout.as_ms(),
            negotiation_timeout_ms: config.c2s.negotiation_timeout.as_ms(),
            keeper: match config.tls.compact {
                true => Keeper::Compact,
                false => Keeper::Rustls,
            },
        };
        let context = TlsContext::new(wishes, before);
        context.map_err(|error| vec![config.places().error("tls", error.to_string())])
    }

    fn host(&self, config: &Config, index: usize) -> Result<HostCertificate, ConfigError> {
        let host = &config.hosts[index];
        let wrong = |option: &str, message: String| {
            config
                .places()
                .error(&format!("host[{index}].{option}"), message)
        };
        match &host.certificate {
            Certificate::Files { .. } => match read_certificate(self.config.as_deref(), host) {
                Ok(Some(key)) => Ok(HostCertificate::new(&host.name, key)),
                Ok(None) => Err(wrong("certificate", "names no file".to_owned())),
                Err((option, message)) => Err(wrong(option, message)),
            },
            Certificate::SelfSigned => self
                .self_signed(&host.name)
                .map_err(|message| wrong("certificate", message)),
        }
    }

    fn self_signed(&self, host: &str) -> Result<HostCertificate, String> {
        let directory = self.directory();
        data::make_directory(&directory)?;
        let certificate = HostCertificate::load_or_make(host, &directory)?;
        if certificate.made {
            log::info!(
                "certificate_made host={host} directory={}",
                directory.display()
            );
        }
        Ok(certificate)
    }

    fn directory(&self) -> PathBuf {
        self.data.join("cert")
    }
}

/// Where an error of the authorities belongs: to the option for which they are there. Without a listener that asks,
/// no option has to do with them.
pub fn authorities_place(config: &Config, message: String) -> ConfigError {
    let path = match asking_listener(config) {
        Some(index) => format!("listener[{index}].client_certificates"),
        None => String::new(),
    };
    config.places().error(&path, message)
}

/// The first listener that asks clients for certificates.
pub fn asking_listener(config: &Config) -> Option<usize> {
    let mut listeners = config.listeners.iter();
    listeners.position(|listener| listener.client_certificates == ClientCertificates::Request)
}

/// What `now` trusts or shows otherwise than `before`, as the records that say so: hosts with another certificate, or
/// with one that was made for it, and the authorities whose certificates log clients in.
pub fn changes(before: Option<&TlsContext>, now: &TlsContext) -> Vec<AuditEvent> {
    let shown_before = |host: &HostCertificate| {
        let mut hosts = before?.hosts().iter();
        hosts.find(|other| other.host == host.host)
    };
    let is_new = |host: &&HostCertificate| match shown_before(host) {
        Some(other) => other.fingerprint() != host.fingerprint(),
        None => host.made,
    };
    let record = |host: &HostCertificate| AuditEvent::CertificateChanged {
        host: Arc::from(&*host.host),
        fingerprint: Arc::from(host.fingerprint()),
    };
    let mut records: Vec<AuditEvent> = now.hosts().iter().filter(is_new).map(record).collect();
    if let Some(before) = before
        && before.client_authorities() != now.client_authorities()
    {
        records.push(AuditEvent::ClientAuthoritiesChanged {
            fingerprints: Arc::from(now.client_authorities().fingerprints()),
        });
    }
    records
}

/// The authorities whose certificates log clients in; none if there is no such file.
///
/// # Errors
/// With the file's path: it cannot be read, or holds no certificate, so that nobody it was meant for gets in.
pub fn client_authorities(data: &Path) -> Result<Authorities, String> {
    let mut authorities = Authorities::default();
    let path = client_authorities_file(data);
    if path.exists() {
        let read = read_authorities(&path, &mut authorities);
        read.map_err(|error| format!("{}: {error}", path.display()))?;
        if authorities.is_empty() {
            return Err(format!("{}: holds no certificate", path.display()));
        }
    }
    Ok(authorities)
}

/// Where the authorities are whose certificates log clients in (SASL EXTERNAL): PEM, one or more.
pub fn client_authorities_file(data: &Path) -> PathBuf {
    data.join("cert").join("client-ca.pem")
}

fn read_authorities(path: &Path, authorities: &mut Authorities) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        let added = authorities.add(certificate);
        added.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn version(version: &TlsVersion) -> stream::TlsVersion {
    match version {
        TlsVersion::V1_2 => stream::TlsVersion::V1_2,
        TlsVersion::V1_3 => stream::TlsVersion::V1_3,
    }
}
