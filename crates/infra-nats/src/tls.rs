//! When a connection has to be encrypted, and what it means when that fails.
//!
//! Encryption itself is the client library's: TLS 1.2 or newer, the certificate and the host's name always checked.

use std::error::Error;
use std::io;
use std::net::IpAddr;

use async_nats::rustls::{self, AlertDescription, CertificateError};

use crate::config::{NatsConfig, Tls};
use crate::start_error::TlsFault;

/// Whether every connection has to be encrypted: if any server is on another machine, or anything is said of certificates.
pub(crate) fn required(config: &NatsConfig) -> bool {
    let Tls { insecure, authorities, identity } = &config.tls;
    let told = authorities.is_some() || identity.is_some();
    told || (!insecure && config.remote_urls().next().is_some())
}

/// Whether this server is on this machine. A name that is not `localhost` is taken for another one.
pub(crate) fn is_loopback(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => rest.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// What is wrong with the encryption and what to do, if that is why a connection failed.
pub(crate) fn fault(error: &(dyn Error + 'static)) -> Option<(TlsFault, String)> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(fault) = error.downcast_ref::<rustls::Error>() {
            return Some(described(fault));
        }
        next = match error.downcast_ref::<io::Error>() {
            // Its `source` is that of what it wraps, which would be passed over.
            Some(wrapping) => wrapping.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

fn described(fault: &rustls::Error) -> (TlsFault, String) {
    use rustls::Error as E;

    let (kind, cure) = match fault {
        E::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => (
            TlsFault::OtherHost,
            "the certificate is for another host: use a name in nats.urls that the certificate has, or issue it for this one",
        ),
        // One that has the issuer's name and not its key has another issuer as well.
        E::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => (
            TlsFault::Untrusted,
            "nobody trusted has issued the server's certificate: name the authority that has in nats.tls_ca",
        ),
        E::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            (TlsFault::OutOfDate, "the server's certificate has expired: renew it, and check this machine's clock")
        }
        E::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            (TlsFault::OutOfDate, "the server's certificate is not valid yet: check the clocks of both machines")
        }
        E::AlertReceived(AlertDescription::CertificateRequired) => (
            TlsFault::OurCertificate,
            "the server asks for a client's certificate: name one in nats.tls_cert, and its key in nats.tls_key",
        ),
        E::AlertReceived(_) => (
            TlsFault::OurCertificate,
            "the server refused the handshake: check that it trusts whoever issued the certificate in nats.tls_cert",
        ),
        E::InvalidMessage(_) => (
            TlsFault::NotSpoken,
            "the server does not speak TLS: give it a `tls` section, or, on a network that is trusted, set nats.insecure = true",
        ),
        _ => {
            (TlsFault::Other, "check nats.tls_ca, nats.tls_cert and nats.tls_key, and the `tls` section of the server")
        }
    };
    (kind, format!("{fault}; {cure}"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_leaves_this_machine_is_encrypted_unless_somebody_says_otherwise() {
        let plain = |urls: &[&str], insecure| {
            let mut config = NatsConfig::new(urls.iter().copied());
            config.tls.insecure = insecure;
            !required(&config)
        };
        for local in
            ["nats://127.0.0.1:4222", "nats://localhost", "127.8.9.1", "nats://[::1]:4222", "nats://a:b@localhost:1"]
        {
            assert!(plain(&[local], false), "{local}");
        }
        for remote in [
            "nats://10.0.0.1:4222",
            "nats.example",
            "nats://localhost.example:4222",
            "nats://localhost@10.0.0.1",
            "nats://[::2]",
            "nats://127.0.0.1.example",
        ] {
            assert!(!plain(&[remote], false), "{remote}");
            assert!(!plain(&["nats://127.0.0.1", remote], false), "{remote}");
            assert!(plain(&[remote], true), "{remote}");
        }
    }

    #[test]
    fn whoever_names_certificates_wants_encryption_everywhere() {
        let mut config = NatsConfig::new(["nats://127.0.0.1:4222"]);
        config.tls = Tls { insecure: true, authorities: Some(PathBuf::from("ca.pem")), identity: None };
        assert!(required(&config));
    }
}
