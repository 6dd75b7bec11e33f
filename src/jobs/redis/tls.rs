//! Connections by TLS: certificates, and the library that encrypts.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use redis::{Client, ClientTlsConfig, ConnectionInfo, RedisResult, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use std::fmt;

/// The certificates that a program gives. All are texts in PEM.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// In place of those of the system and of the web.
    pub(super) root: Option<Vec<u8>>,
    /// By which the server knows the program: its certificate, and the key.
    pub(super) own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none() && self.own.is_none()
    }

    /// A client that uses them. It has not connected yet.
    pub(super) fn client(self, info: ConnectionInfo) -> Result<Client, JobsError> {
        let own = self.own.as_ref().map(|(certificate, _)| certificate);
        for pem in self.root.iter().chain(own) {
            // Without this, an empty text would refuse all servers, and give no reason.
            if !String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----") {
                return Err(bad("no certificate in it"));
            }
        }
        let client_tls = self.own.map(|(client_cert, client_key)| ClientTlsConfig {
            client_cert,
            client_key,
        });
        let root_cert = self.root;
        let certificates = TlsCertificates {
            client_tls,
            root_cert,
        };
        let client: RedisResult<Client> = Client::build_with_tls(info, certificates);
        client.map_err(|error| bad(&error.to_string()).with_source(error))
    }
}

fn bad(why: &str) -> JobsError {
    let text = format!(
        "{why}; certificates are texts in PEM, and need an address that begins with `rediss`"
    );
    JobsError::new(JobsErrorKind::Unreachable, text)
}

/// Has `ring` encrypt, unless the program has made its choice. Without one, `rustls` panics at the
/// first connection of a program in which several libraries could do so.
pub(super) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // An error says that another thread was first.
        let _ = ring::default_provider().install_default();
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret.
        let Self { root, own } = self;
        f.debug_struct("Certificates")
            .field("root", &root.is_some())
            .field("own", &own.is_some())
            .finish()
    }
}
