//! Who asks: from the certificate of a connection to a registered user.
//!
//! A request never says who it is from. The connection's certificate does, and what its owner may do is
//! looked up, for each request, in member data that the journal holds; so a suspension or a new certificate
//! takes effect at once, on connections that are open as well.

use super::certificate::{Fingerprint, PeerCertificate};
use merit_engine::command::Role;
use merit_engine::ids::{MemberId, PortfolioId, TextId, UserId};
use std::net::SocketAddr;
use std::sync::Arc;

/// The other end of a connection; an extension of every request that came over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Its certificate; none on a plaintext loopback connection.
    pub certificate: Option<Arc<PeerCertificate>>,
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which.
    pub user: UserId,
    /// Its name.
    pub name: TextId,
    /// What it may be.
    pub role: Role,
    /// Member of a trader or auditor.
    pub member: Option<MemberId>,
    /// Portfolios that a trader may trade; empty = all of the member's.
    pub portfolios: Arc<[PortfolioId]>,
}

/// Registered users, as journaled.
pub trait Directory: Send + Sync {
    /// The user whose certificate has this fingerprint.
    fn lookup(&self, fingerprint: &Fingerprint) -> Option<Identity>;

    /// The user of this name; asked only for plaintext connections on loopback.
    fn lookup_name(&self, name: &str) -> Option<Identity>;
}

/// Metadata key that names the user on a plaintext loopback connection; ignored on any other.
pub const PLAINTEXT_USER: &str = "merit-user";

/// Who is at the other end, if a registered user is. `plaintext_user` is what the request says under
/// [`PLAINTEXT_USER`]: asked, and counted, only where there is no certificate, which the door allows on loopback only.
#[must_use]
pub fn identify<'a>(
    peer: &Peer,
    plaintext_user: impl FnOnce() -> Option<&'a str>,
    directory: &dyn Directory,
) -> Option<Identity> {
    match &peer.certificate {
        Some(certificate) => directory.lookup(&certificate.fingerprint),
        None if peer.address.ip().is_loopback() => directory.lookup_name(plaintext_user()?),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl One {
        fn alice() -> Identity {
            Identity {
                user: UserId(7),
                name: TextId::new("alice").unwrap(),
                role: Role::Trader,
                member: Some(MemberId(1)),
                portfolios: Arc::new([]),
            }
        }
    }

    impl Directory for One {
        fn lookup(&self, fingerprint: &Fingerprint) -> Option<Identity> {
            (*fingerprint == [7; 32]).then(Self::alice)
        }

        fn lookup_name(&self, name: &str) -> Option<Identity> {
            (name == "alice").then(Self::alice)
        }
    }

    fn peer(address: &str, fingerprint: Option<Fingerprint>) -> Peer {
        let certificate = fingerprint
            .map(|fingerprint| Arc::new(PeerCertificate { fingerprint, uris: vec![], ends_at_s: None }));
        Peer { address: address.parse().unwrap(), certificate }
    }

    #[test]
    fn a_certificate_outweighs_what_the_request_says() {
        let known = peer("10.0.0.1:5", Some([7; 32]));
        assert_eq!(identify(&known, || None, &One), Some(One::alice()));
        let unknown = peer("127.0.0.1:5", Some([8; 32]));
        assert_eq!(identify(&unknown, || Some("alice"), &One), None);
    }

    #[test]
    fn a_name_counts_on_plaintext_loopback_only() {
        assert_eq!(identify(&peer("127.0.0.1:5", None), || Some("alice"), &One), Some(One::alice()));
        assert_eq!(identify(&peer("[::1]:5", None), || Some("alice"), &One), Some(One::alice()));
        assert_eq!(identify(&peer("127.0.0.1:5", None), || None, &One), None);
        assert_eq!(identify(&peer("10.0.0.1:5", None), || Some("alice"), &One), None);
    }
}
