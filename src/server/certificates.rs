//! The certificates of the configured hosts, ready for handshakes. Refuses to know connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ProducesTickets;

use crate::actor::audit::AuditEvent;
use crate::config::{Certificate, Config, ConfigError, TlsVersion};
use crate::stream;
use crate::worker::{HostCertificate, TlsContext, TlsWishes};

use super::data;
use super::settings::read_certificate;

/// Where certificates come from, the same over all reloads.
pub struct CertificateSource {
    /// The configuration file, beside which relative paths start.
    pub config: Option<PathBuf>,
    /// The data directory: self-signed certificates are made in `cert/`, and authorities whose
    /// certificates log clients in are read from `cert/client-ca.pem`.
    pub data: PathBuf,
    pub tickets: Arc<dyn ProducesTickets>,
}

impl CertificateSource {
    /// Reads everything anew.
    ///
    /// # Errors
    /// All hosts whose certificate is wrong.
    pub fn context(&self, config: &Config) -> Result<TlsContext, Vec<ConfigError>> {
        let mut hosts = Vec::with_capacity(config.hosts.len());
        let mut errors = Vec::new();
        for index in 0..config.hosts.len() {
            match self.host(config, index) {
                Ok(host) => hosts.push(host),
                Err(error) => errors.push(error),
            }
        }
        let client_roots = client_roots(&self.data).unwrap_or_else(|message| {
            errors.push(config.places().error("tls", message));
            RootCertStore::empty()
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let wishes = TlsWishes {
            hosts,
            versions: config.tls.versions.iter().map(version).collect(),
            client_roots,
            tickets: Arc::clone(&self.tickets),
            handshake_timeout_ms: config.c2s.handshake_timeout.as_ms(),
            negotiation_timeout_ms: config.c2s.negotiation_timeout.as_ms(),
        };
        let context = TlsContext::new(wishes);
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

/// Hosts that show another certificate in `now` than in `before`, or one that was made for it, with the record
/// that says so.
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
    now.hosts().iter().filter(is_new).map(record).collect()
}

/// The authorities whose certificates log clients in; none if there is no such file.
///
/// # Errors
/// With the file's path: it cannot be read, or holds no certificate, so that nobody it was meant for gets in.
pub fn client_roots(data: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let path = client_authorities(data);
    if path.exists() {
        let read = read_roots(&path, &mut roots);
        read.map_err(|error| format!("{}: {error}", path.display()))?;
        if roots.is_empty() {
            return Err(format!("{}: holds no certificate", path.display()));
        }
    }
    Ok(roots)
}

/// Where the authorities are whose certificates log clients in (SASL EXTERNAL): PEM, one or more.
pub fn client_authorities(data: &Path) -> PathBuf {
    data.join("cert").join("client-ca.pem")
}

fn read_roots(path: &Path, roots: &mut RootCertStore) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn version(version: &TlsVersion) -> stream::TlsVersion {
    match version {
        TlsVersion::V1_2 => stream::TlsVersion::V1_2,
        TlsVersion::V1_3 => stream::TlsVersion::V1_3,
    }
}
