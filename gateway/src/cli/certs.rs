//! `merit certs DIR`: a development authority, a server certificate, a key to sign schedules with, and one
//! certificate for each user.
//!
//! For demo and sandbox. A production exchange has an authority of its own and only registers fingerprints.
//! Nothing is ever overwritten: what is there stays, and only what is missing is made, so members can be
//! added later under the same authority.

use super::output::{Cell, Format, Table, print};
use super::{Exit, Failure};
use crate::server::certificate::{Fingerprint, PeerCertificate, hex};
use crate::server::signing::Signer;
use merit_engine::calendar::Day;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Clocks of members may be behind ours.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Make a development authority and certificates for the server and for users
///
/// Makes what is missing in DIR and overwrites nothing: an authority, a certificate for the server (localhost,
/// 127.0.0.1, ::1 and the hosts named), a key to sign schedules with (signing.key, and signing.pub for the
/// dispatch centre), a certificate for each of the users operator, dispatch and settlement, and one
/// for each user of the members named. Keys can be read by you alone. A production exchange has an authority
/// of its own and registers only fingerprints.
#[derive(Debug, clap::Args)]
pub(super) struct Certs {
    /// Where the files go; made if it is not there
    dir: PathBuf,
    /// A member, with one user M-trader, or with the users named: M:alice,bob
    #[arg(long = "member", value_name = "M[:USER,…]")]
    members: Vec<String>,
    /// One more user of the exchange, e.g. a second operator
    #[arg(long = "user", value_name = "NAME")]
    users: Vec<String>,
    /// One more host name or address of the server
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// How long certificates hold
    #[arg(long, default_value_t = 397, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    days: u32,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Certs {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let plan = Plan::new(self.dir, &self.members, self.hosts, self.days);
        let plan = plan.and_then(|it| it.with_users(&self.users)).map_err(Failure::usage)?;
        let made = make(&plan, SystemTime::now()).map_err(Failure::error)?;
        let mut table = Table::new(&["name", "made", "ends", "certificate", "key", "sha256"]);
        for one in made {
            let day = one.ends_at_s.and_then(|ends| i32::try_from(ends.div_euclid(86_400)).ok());
            table.add(vec![
                Cell::text(one.name),
                Cell::text(if one.kept { "kept" } else { "new" }),
                day.map_or(Cell::Nothing, |day| Cell::text(Day(day).to_string())),
                Cell::text(one.certificate.display().to_string()),
                Cell::text(one.key.display().to_string()),
                Cell::text(hex(&one.fingerprint)),
            ]);
        }
        print(&table.render(self.output)).map_err(Failure::error)?;
        Ok(Exit::Ok)
    }
}

/// Somebody who gets a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name of the user and of its files.
    pub name: String,
    /// Member it belongs to; none for users of the exchange.
    pub member: Option<String>,
}

impl User {
    fn uri(&self) -> String {
        match &self.member {
            Some(member) => format!("merit://member/{member}/user/{}", self.name),
            None => format!("merit://exchange/user/{}", self.name),
        }
    }
}

/// What to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the files go.
    pub dir: PathBuf,
    /// Users.
    pub users: Vec<User>,
    /// Names and addresses of the server beside localhost, 127.0.0.1 and ::1.
    pub hosts: Vec<String>,
    /// How long certificates hold, days.
    pub days: u32,
}

impl Plan {
    /// The usual users: operator, dispatch and settlement, and those of the members. A member is given as
    /// `M1` (one user, `M1-trader`) or `M1:alice,bob`.
    ///
    /// # Errors
    ///
    /// A name that cannot be a code of the exchange, or that two users share.
    pub fn new(dir: PathBuf, members: &[String], hosts: Vec<String>, days: u32) -> Result<Self, CertsError> {
        let ours = ["operator", "dispatch", "settlement"];
        let mut users: Vec<User> =
            ours.iter().map(|name| User { name: (*name).to_string(), member: None }).collect();
        for text in members {
            let (member, names) = match text.split_once(':') {
                Some((member, names)) => (member, names.split(',').map(str::to_string).collect()),
                None => (text.as_str(), vec![format!("{text}-trader")]),
            };
            for name in names {
                users.push(User { name, member: Some(member.to_string()) });
            }
        }
        Self { dir, users, hosts, days }.checked()
    }

    /// The same with more users of the exchange.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_users(mut self, names: &[String]) -> Result<Self, CertsError> {
        self.users.extend(names.iter().map(|name| User { name: name.clone(), member: None }));
        self.checked()
    }

    fn checked(self) -> Result<Self, CertsError> {
        let mut names: Vec<&str> = self.users.iter().map(|user| user.name.as_str()).collect();
        names.extend(["authority", "server", "signing"]);
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CertsError::Name { name: twice[0].to_string() });
        }
        for user in &self.users {
            for name in user.member.iter().chain([&user.name]) {
                if merit_engine::ids::TextId::new(name).is_none() || name.starts_with('.') {
                    return Err(CertsError::Name { name: name.clone() });
                }
            }
        }
        Ok(self)
    }
}

/// One certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Whose: `authority`, `server`, `signing`, or the user's name.
    pub name: String,
    /// The certificate, PEM; of `signing`, the public key in hexadecimal digits.
    pub certificate: PathBuf,
    /// The key, PEM, readable by its owner only.
    pub key: PathBuf,
    /// SHA-256 of the certificate's DER; of `signing`, of the public key, as signatures name it.
    pub fingerprint: Fingerprint,
    /// When it ends, seconds since 1970.
    pub ends_at_s: Option<i64>,
    /// Whether it was there before.
    pub kept: bool,
}

/// Why certificates could not be made.
#[derive(Debug)]
pub enum CertsError {
    /// A name is not 1 to 64 characters out of `A-Z a-z 0-9 . _ : -`, is taken, or stands twice.
    Name {
        /// The name.
        name: String,
    },
    /// A file or directory could not be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Of a certificate and its key only one is there.
    Half {
        /// The one that is missing.
        missing: PathBuf,
    },
    /// A file is there but is not what its name says.
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate could not be made.
    Make(rcgen::Error),
}

impl fmt::Display for CertsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => write!(
                f,
                "'{name}' cannot be the name of a user or member here: 1 to 64 of A-Z a-z 0-9 . _ : -, each once"
            ),
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Half { missing } => write!(
                f,
                "{}: missing, though its other half is there; restore it, or move the other half away",
                missing.display()
            ),
            Self::Unusable { path, reason } => write!(f, "{}: {reason}", path.display()),
            Self::Make(error) => write!(f, "the certificate cannot be made: {error}"),
        }
    }
}

impl std::error::Error for CertsError {}

fn io_at(path: &Path) -> impl Fn(io::Error) -> CertsError {
    let path = path.to_path_buf();
    move |source| CertsError::Io { path: path.clone(), source }
}

/// Makes what is missing of a plan. `now` is the time from which certificates hold.
///
/// # Errors
///
/// See [`CertsError`]; files made before the error stay.
pub fn make(plan: &Plan, now: SystemTime) -> Result<Vec<Made>, CertsError> {
    let keys = |name: &str| (plan.dir.join(format!("{name}.pem")), plan.dir.join(format!("{name}.key")));
    DirBuilder::new().recursive(true).mode(0o700).create(&plan.dir).map_err(io_at(&plan.dir))?;
    let mut made = Vec::new();

    let authority = authority_params(now, plan.days);
    let (certificate, key) = keys("authority");
    if !present(&certificate, &key)? {
        let pair = KeyPair::generate().map_err(CertsError::Make)?;
        let signed = authority.self_signed(&pair).map_err(CertsError::Make)?;
        write_pair(&certificate, &signed, &key, &pair)?;
        made.push(described("authority", &certificate, &key, false)?);
    } else {
        made.push(described("authority", &certificate, &key, true)?);
    }
    // The issuer of later certificates is known by its name and key, which are the same on every call.
    let text = std::fs::read_to_string(&key).map_err(io_at(&key))?;
    let pair = KeyPair::from_pem(&text)
        .map_err(|error| CertsError::Unusable { path: key, reason: error.to_string() })?;
    let issuer = Issuer::new(authority, pair);

    let mut wanted = vec![("server".to_string(), server_params(plan, now)?)];
    for user in &plan.users {
        wanted.push((user.name.clone(), user_params(user, now, plan.days)?));
    }
    for (name, params) in wanted {
        let (certificate, key) = keys(&name);
        let kept = present(&certificate, &key)?;
        if !kept {
            let pair = KeyPair::generate().map_err(CertsError::Make)?;
            let signed = params.signed_by(&pair, &issuer).map_err(CertsError::Make)?;
            write_pair(&certificate, &signed, &key, &pair)?;
        }
        made.push(described(&name, &certificate, &key, kept)?);
        if name == "server" {
            made.push(signing(&plan.dir)?);
        }
    }
    Ok(made)
}

/// The key that schedules are signed with, and its public half.
fn signing(dir: &Path) -> Result<Made, CertsError> {
    let (public, key) = (dir.join("signing.pub"), dir.join("signing.key"));
    let kept = present(&public, &key)?;
    if !kept {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).map_err(CertsError::Make)?;
        write_new(&key, &pair.serialize_pem())?;
        let text: String = pair.public_key_raw().iter().map(|it| format!("{it:02x}")).collect();
        write_new(&public, &format!("{text}\n"))?;
    }
    let unusable = |path: &Path, reason| CertsError::Unusable { path: path.to_path_buf(), reason };
    let signer = Signer::read(&key).map_err(|reason| unusable(&key, reason))?;
    let text = std::fs::read_to_string(&public).map_err(io_at(&public))?;
    if text.trim() != signer.public_hex() {
        return Err(unusable(&public, "is not the public half of signing.key".to_owned()));
    }
    Ok(Made {
        name: "signing".to_string(),
        certificate: public,
        key,
        fingerprint: *signer.key_id(),
        ends_at_s: None,
        kept,
    })
}

fn params(name: &str, now: SystemTime, days: u32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::OrganizationName, "Merit development");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + DAY * days).into();
    params
}

fn authority_params(now: SystemTime, days: u32) -> CertificateParams {
    // It must outlive every certificate that is added under it later.
    let mut params = params("Merit development authority", now, days.saturating_mul(4));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(plan: &Plan, now: SystemTime) -> Result<CertificateParams, CertsError> {
    let mut params = params("server", now, plan.days);
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_string).to_vec();
    hosts.extend(plan.hosts.iter().cloned());
    params.subject_alt_names = CertificateParams::new(hosts).map_err(CertsError::Make)?.subject_alt_names;
    // With it the server may call other nodes of the exchange, too.
    let node = "merit://node".to_owned().try_into().map_err(CertsError::Make)?;
    params.subject_alt_names.push(SanType::URI(node));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn user_params(user: &User, now: SystemTime, days: u32) -> Result<CertificateParams, CertsError> {
    let mut params = params(&user.name, now, days);
    let uri = user.uri().try_into().map_err(CertsError::Make)?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn present(certificate: &Path, key: &Path) -> Result<bool, CertsError> {
    let there = |path: &Path| path.try_exists().map_err(io_at(path));
    match (there(certificate)?, there(key)?) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => Err(CertsError::Half { missing: key.to_path_buf() }),
        (false, true) => Err(CertsError::Half { missing: certificate.to_path_buf() }),
    }
}

/// The key goes first: a key without a certificate is of no use to anyone.
fn write_pair(
    certificate: &Path,
    signed: &Certificate,
    key: &Path,
    pair: &KeyPair,
) -> Result<(), CertsError> {
    write_new(key, &pair.serialize_pem())?;
    write_new(certificate, &signed.pem())
}

fn write_new(path: &Path, text: &str) -> Result<(), CertsError> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io_at(path))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_at(path))
}

fn described(name: &str, certificate: &Path, key: &Path, kept: bool) -> Result<Made, CertsError> {
    let der = CertificateDer::from_pem_file(certificate).map_err(|error| CertsError::Unusable {
        path: certificate.to_path_buf(),
        reason: error.to_string(),
    })?;
    let read = PeerCertificate::read(&der);
    Ok(Made {
        name: name.to_string(),
        certificate: certificate.to_path_buf(),
        key: key.to_path_buf(),
        fingerprint: read.fingerprint,
        ends_at_s: read.ends_at_s,
        kept,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn plan(dir: &Path, members: &[&str]) -> Plan {
        let members: Vec<String> = members.iter().map(|text| (*text).to_string()).collect();
        Plan::new(dir.to_path_buf(), &members, vec![], 30).unwrap()
    }

    #[test]
    fn what_is_there_stays_and_what_is_missing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let first = make(&plan(dir.path(), &["M1"]), now).unwrap();
        let names: Vec<&str> = first.iter().map(|made| made.name.as_str()).collect();
        assert_eq!(names, ["authority", "server", "signing", "operator", "dispatch", "settlement", "M1-trader"]);
        assert!(first.iter().all(|made| !made.kept && made.ends_at_s.is_some() == (made.name != "signing")));
        for made in &first {
            for path in [&made.certificate, &made.key] {
                let mode = std::fs::metadata(path).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
            }
        }
        let second = make(&plan(dir.path(), &["M1", "M2:alice,bob"]), now).unwrap();
        assert_eq!(second.len(), 9);
        for (made, before) in second.iter().zip(&first) {
            assert_eq!(made, &Made { kept: true, ..before.clone() });
        }
        assert!(second[7..].iter().all(|made| !made.kept));
        let der = CertificateDer::from_pem_file(&second[8].certificate).unwrap();
        assert_eq!(PeerCertificate::read(&der).uris, ["merit://member/M2/user/bob"]);
    }

    #[test]
    fn half_a_pair_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        make(&plan(dir.path(), &[]), SystemTime::now()).unwrap();
        let key = dir.path().join("operator.key");
        std::fs::remove_file(&key).unwrap();
        let error = make(&plan(dir.path(), &[]), SystemTime::now()).unwrap_err();
        assert!(matches!(&error, CertsError::Half { missing } if *missing == key), "{error}");
    }

    #[test]
    fn names_that_are_no_codes_or_stand_twice_are_refused() {
        for bad in ["../M1", "M1:a b", "M1:", "M1:operator", "M1:x,x", "M1:server", "M1:signing", "M1:.hidden"] {
            let plan = Plan::new(PathBuf::from("."), &[bad.to_string()], vec![], 1);
            assert!(matches!(plan, Err(CertsError::Name { .. })), "{bad}");
        }
        for bad in ["operator", "signing", "a b", ""] {
            let plan = plan(Path::new("."), &["M1"]).with_users(&[bad.to_string()]);
            assert!(matches!(plan, Err(CertsError::Name { .. })), "{bad}");
        }
        let plan = plan(Path::new("."), &["M1"]).with_users(&["otto".to_string()]).unwrap();
        assert_eq!(plan.users.last().unwrap().uri(), "merit://exchange/user/otto");
    }
}
