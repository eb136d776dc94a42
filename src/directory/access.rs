//! How a directory is reached, and as whom: addresses, certificates, our own password, read from the files that the
//! configuration names. Refuses to connect.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::destinations::Destinations;
use super::resolver::Resolver;
use crate::base::Secret;
use crate::config::{DirectoryConfig, DirectoryReferrals, HostDirectory};

/// Everything that a connection is made with.
pub struct Access {
    pub servers: Vec<String>,
    pub start_tls: bool,
    pub tls: Arc<ClientConfig>,
    pub connect_timeout: Duration,
    pub operation_timeout: Duration,
    pub identity: Identity,
    pub referrals: DirectoryReferrals,
    /// Where those lead.
    pub destinations: Destinations,
    pub resolver: Arc<Resolver>,
    /// A digest of the authorities, certificates and the key that were read.
    pub files: [u8; 32],
}

/// As whom we search.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// As the entry for which our certificate stands (RFC 4513 section 5.2.3).
    Certificate,
    Nobody,
    Password {
        dn: String,
        password: Secret,
    },
}

impl Access {
    /// Reads what the options name; `beside` makes a path of what they say.
    ///
    /// # Errors
    /// The option that is wrong, and why.
    pub fn read(
        config: &DirectoryConfig,
        beside: &dyn Fn(&str) -> PathBuf,
    ) -> Result<Access, (&'static str, String)> {
        let options = &config.options;
        let identity = if !options.bind_dn.is_empty() {
            Identity::Password {
                dn: options.bind_dn.clone(),
                password: read_password(&beside(&options.password_file))?,
            }
        } else if !options.certificate.is_empty() {
            Identity::Certificate
        } else {
            Identity::Nobody
        };
        let mut files = Sha256::new();
        let tls = Arc::new(tls(options, beside, &mut files)?);
        Ok(Access {
            servers: options.servers.iter().map(|url| lowered(url)).collect(),
            start_tls: options.start_tls,
            tls,
            connect_timeout: Duration::from_millis(options.connect_timeout.as_ms()),
            operation_timeout: Duration::from_millis(options.operation_timeout.as_ms()),
            identity,
            referrals: options.referrals,
            destinations: Destinations::of(options),
            resolver: Arc::new(Resolver::new()),
            files: files.finalize().into(),
        })
    }
}

impl Access {
    /// Whether connections to where a directory sends us begin TLS (RFC 4511 section 4.14): our password does not cross an
    /// open channel because somebody else names one. Not where the operator has it cross such a channel already.
    pub fn refers_to_tls(&self) -> bool {
        let is_open = |url: &String| url.starts_with("ldap://");
        self.start_tls || !self.servers.iter().any(is_open)
    }

    /// The same by what somebody else knows of the names of servers.
    pub fn by(self, resolver: &Arc<Resolver>) -> Access {
        Access {
            resolver: Arc::clone(resolver),
            ..self
        }
    }

    /// The same to one server alone.
    pub fn to(&self, server: &str) -> Access {
        Access {
            servers: vec![server.to_owned()],
            start_tls: self.start_tls,
            tls: Arc::clone(&self.tls),
            connect_timeout: self.connect_timeout,
            operation_timeout: self.operation_timeout,
            identity: self.identity.clone(),
            referrals: self.referrals,
            destinations: self.destinations.clone(),
            resolver: Arc::clone(&self.resolver),
            files: self.files,
        }
    }
}

/// An address with its scheme as everybody writes it: RFC 3986 section 3.1, "schemes are case-insensitive".
fn lowered(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url.to_owned(),
    }
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<Secret, (&'static str, String)> {
    let failed = |error: String| ("password_file", format!("{}: {error}", path.display()));
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let bytes = Zeroizing::new(bytes);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // An empty one would make the bind an unauthenticated one (RFC 4513 section 5.1.2), which succeeds.
    if line.is_empty() || std::str::from_utf8(line).is_err() {
        return Err(failed("the first line holds no password".to_owned()));
    }
    Ok(Secret::new(line.to_vec()))
}

fn tls(
    options: &HostDirectory,
    beside: &dyn Fn(&str) -> PathBuf,
    files: &mut Sha256,
) -> Result<ClientConfig, (&'static str, String)> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| ("servers", error.to_string()))?;
    let builder = match options.verify {
        true => builder.with_root_certificates(roots(options, beside, files)?),
        false => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider))),
    };
    if options.certificate.is_empty() {
        return Ok(builder.with_no_client_auth());
    }
    let (certificate, key) = (beside(&options.certificate), beside(&options.key));
    let chain = certificates(&certificate)
        .map_err(|error| ("certificate", format!("{}: {error}", certificate.display())))?;
    let private = PrivateKeyDer::from_pem_file(&key)
        .map_err(|error| ("key", format!("{}: {error}", key.display())))?;
    note(files, &chain);
    files.update(private.secret_der());
    builder
        .with_client_auth_cert(chain, private)
        .map_err(|error| ("key", format!("{}: {error}", key.display())))
}

fn roots(
    options: &HostDirectory,
    beside: &dyn Fn(&str) -> PathBuf,
    files: &mut Sha256,
) -> Result<RootCertStore, (&'static str, String)> {
    let mut roots = RootCertStore::empty();
    if options.ca.is_empty() {
        // What of the system's cannot be read is the system's matter; the others do.
        let found = rustls_native_certs::load_native_certs().certs;
        note(files, &found);
        roots.add_parsable_certificates(found);
        return Ok(roots);
    }
    let path = beside(&options.ca);
    let failed = |error: String| ("ca", format!("{}: {error}", path.display()));
    let found = certificates(&path).map_err(|error| failed(error.to_string()))?;
    note(files, &found);
    for certificate in found {
        let added = roots.add(certificate);
        added.map_err(|error| failed(error.to_string()))?;
    }
    Ok(roots)
}

/// Their number and digests: an authority is not taken for the first of our chain, which follows.
fn note(files: &mut Sha256, certificates: &[CertificateDer<'_>]) {
    files.update(certificates.len().to_be_bytes());
    let digests = certificates.iter().map(Sha256::digest);
    digests.for_each(|digest| files.update(digest));
}

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in this file".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// Any certificate will do whose key the server has: the operator has said so.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::person;

    #[test]
    fn what_crosses_an_open_channel_is_seen_however_its_scheme_is_written() {
        for (servers, refers_to_tls) in [
            (&["LDAP://A"][..], false),
            (&["LDAPS://a", "Ldap://b"], false),
            (&["LDAPS://a", "LdapI://%2Frun%2Fb"], true),
        ] {
            let mut config = DirectoryConfig::clone(&person::tests::config("start_tls = false\n"));
            config.options.servers = servers.iter().map(|url| (*url).to_owned()).collect();
            let access = Access::read(&config, &|_| PathBuf::new()).expect("needs no file");
            assert_eq!(access.refers_to_tls(), refers_to_tls, "{servers:?}");
        }
    }
}
