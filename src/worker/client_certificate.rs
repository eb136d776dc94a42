//! Certificates of clients: the authorities that vouch for them, and a verifier that lets every one pass whose key
//! the client holds. Refuses to decide what such a certificate proves: that is asked of the real verifier after the
//! handshake.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use super::certificate::fingerprint;

/// The authorities whose certificates prove addresses of clients.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Default for Authorities {
    fn default() -> Authorities {
        Authorities {
            roots: RootCertStore::empty(),
            certificates: Vec::new(),
        }
    }
}

impl Authorities {
    /// One more.
    ///
    /// # Errors
    /// It is no certificate that could sign others.
    pub fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), Error> {
        self.roots.add(certificate.clone())?;
        self.certificates.push(certificate);
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    /// Whether there are none: then no client is asked for a certificate.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// What [`super::HostCertificate::fingerprint`] is of each, in the order of the file.
    pub fn fingerprints(&self) -> Vec<String> {
        let certificates = self.certificates.iter();
        certificates.map(|der| fingerprint(der)).collect()
    }

    /// What verifies certificates that they signed.
    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::new(self.roots.clone())
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Authorities) -> bool {
        self.certificates == other.certificates
    }
}

/// A client with a certificate of somebody else's authority shall log in by password instead of being
/// turned away with an alert that no user understands.
#[derive(Debug)]
pub struct AnyCertificate(Arc<dyn ClientCertVerifier>);

impl AnyCertificate {
    /// Asks for certificates as `strict` does.
    pub fn new(strict: Arc<dyn ClientCertVerifier>) -> AnyCertificate {
        AnyCertificate(strict)
    }
}

impl ClientCertVerifier for AnyCertificate {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
