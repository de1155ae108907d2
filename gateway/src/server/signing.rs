//! The exchange's signature under what it hands to the dispatch centre.
//!
//! Made at the door, when a message goes out: the journal, the engine's digest and the read model know
//! nothing of it, so they stay the same whichever key a node has. Ed25519 makes the same signature over
//! the same text every time, so a message pulled twice is the same message.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use merit_client::signed::{self, SignatureError};
use merit_proto::v1;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::path::Path;

/// The key of a node.
pub struct Signer {
    pair: Ed25519KeyPair,
    key_id: [u8; 32],
}

/// Says which key, not the key.
impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", super::certificate::hex(&self.key_id))
    }
}

impl Signer {
    /// Reads an Ed25519 key (PKCS#8, PEM).
    ///
    /// # Errors
    ///
    /// If there is none in the file, in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let der = PrivatePkcs8KeyDer::from_pem_file(path).map_err(|error| error.to_string())?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        Self::new(pair.map_err(|_| "is not an Ed25519 key in PKCS#8".to_owned())?)
    }

    fn new(pair: Ed25519KeyPair) -> Result<Self, String> {
        let public = pair.public_key().as_ref().try_into().map_err(|_| "has an odd public key".to_owned())?;
        Ok(Self { key_id: signed::key_id(&public), pair })
    }

    /// Which key signatures name.
    #[must_use]
    pub const fn key_id(&self) -> &[u8; 32] {
        &self.key_id
    }

    /// The public key, 64 hexadecimal digits.
    #[must_use]
    pub fn public_hex(&self) -> String {
        self.pair.public_key().as_ref().iter().map(|it| format!("{it:02x}")).collect()
    }

    fn sign(&self, text: &str) -> v1::Signature {
        v1::Signature {
            algorithm: signed::ALGORITHM.into(),
            key_id: self.key_id.to_vec(),
            signature: self.pair.sign(text.as_bytes()).as_ref().to_vec(),
        }
    }

    /// Signs a schedule.
    ///
    /// # Errors
    ///
    /// If it has no text: a bug of ours.
    pub fn schedule(&self, it: &mut v1::Schedule) -> Result<(), SignatureError> {
        it.signature = Some(self.sign(&signed::schedule_text(it)?));
        Ok(())
    }

    /// Signs changes.
    ///
    /// # Errors
    ///
    /// If they have no text: a bug of ours.
    pub fn changes(&self, it: &mut v1::ScheduleChanges) -> Result<(), SignatureError> {
        it.signature = Some(self.sign(&signed::changes_text(it)?));
        Ok(())
    }

    /// Signs a corridor request.
    ///
    /// # Errors
    ///
    /// If it has no text: a bug of ours.
    pub fn corridor(&self, it: &mut v1::CorridorRequest) -> Result<(), SignatureError> {
        it.signature = Some(self.sign(&signed::corridor_text(it)?));
        Ok(())
    }
}
