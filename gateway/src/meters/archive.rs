//! The archive of readings: files named by the SHA-256 of their bytes, and manifests that say which
//! of them make up a day.
//!
//! The journal holds a batch's digest, its control totals and the energy of every portfolio, area and
//! block; the archive holds the single readings. A manifest lists the register and the files in the
//! order in which they were merged, one digest a line; its own digest is what the journal has. So a
//! day can be read and added up again at any time, and whether it is the same is not a matter of
//! trust.

use super::source::{self, ParquetOut};
use super::{Bad, Day, Register, Source, aggregate};
use crate::push::{hex, sha256};
use aws_lc_rs::digest::{Context, SHA256};
use std::fs::File;
use std::io::{BufReader, Read as _, Write};
use std::path::{Path, PathBuf};

/// The archive.
#[derive(Clone, Debug)]
pub struct Archive {
    directory: PathBuf,
}

/// What makes up a day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Digest of the register, in hexadecimal digits.
    pub register: String,
    /// Digests of the readings.
    pub files: Vec<String>,
}

impl Manifest {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = format!("register {}\n", self.register);
        for file in &self.files {
            out += &format!("readings {file}\n");
        }
        out
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let register = lines.next()?.strip_prefix("register ")?.to_owned();
        let files = lines.map(|it| it.strip_prefix("readings ").map(str::to_owned)).collect::<Option<_>>()?;
        Some(Self { register, files })
    }

    /// What the journal holds.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.encode().as_bytes())
    }
}

fn failed(what: &Path, error: impl std::fmt::Display) -> Bad {
    let shown = what.display().to_string();
    Bad { origin: "archive".into(), row: 0, field: "file", value: shown, rule: error.to_string() }
}

impl Archive {
    /// The archive in a data directory.
    #[must_use]
    pub fn in_data(data: &Path) -> Self {
        Self { directory: data.join("archive") }
    }

    fn path(&self, digest: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{digest}.{extension}"))
    }

    /// Begins a file of readings.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn begin(&self) -> Result<Incoming, Bad> {
        std::fs::create_dir_all(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let file = tempfile::Builder::new().prefix("incoming-").tempfile_in(&self.directory);
        let file = file.map_err(|error| failed(&self.directory, error))?;
        let out = file.reopen().map_err(|error| failed(file.path(), error))?;
        let out = ParquetOut::new(std::io::BufWriter::with_capacity(1 << 20, out))
            .map_err(|error| failed(file.path(), error))?;
        Ok(Incoming { archive: self.clone(), file, out })
    }

    fn keep(&self, bytes: &[u8], extension: &str) -> Result<String, Bad> {
        let digest = hex(&sha256(bytes));
        let path = self.path(&digest, extension);
        std::fs::create_dir_all(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let mut file = tempfile::Builder::new()
            .prefix("incoming-")
            .tempfile_in(&self.directory)
            .map_err(|error| failed(&self.directory, error))?;
        file.write_all(bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(|error| failed(&path, error))?;
        file.persist(&path).map_err(|error| failed(&path, error))?;
        Ok(digest)
    }

    /// Keeps a register.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_register(&self, register: &Register) -> Result<String, Bad> {
        self.keep(register.csv().as_bytes(), "register")
    }

    /// Keeps a manifest.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_manifest(&self, manifest: &Manifest) -> Result<(), Bad> {
        self.keep(manifest.encode().as_bytes(), "manifest").map(drop)
    }

    /// The manifest of a digest.
    ///
    /// # Errors
    ///
    /// If it is not there or not the one of this digest.
    pub fn manifest(&self, digest: &[u8]) -> Result<Manifest, Bad> {
        let path = self.path(&hex(digest), "manifest");
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        let manifest = Manifest::decode(&text).ok_or_else(|| failed(&path, "is no manifest"))?;
        if manifest.digest() != digest {
            return Err(failed(&path, "is not the file that it is named after"));
        }
        Ok(manifest)
    }

    /// The register of a manifest.
    ///
    /// # Errors
    ///
    /// If it is not there or not the one of its digest.
    pub fn register(&self, manifest: &Manifest) -> Result<Register, Bad> {
        let path = self.path(&manifest.register, "register");
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
        if hex(&sha256(text.as_bytes())) != manifest.register {
            return Err(failed(&path, "is not the file that it is named after"));
        }
        Register::read(&path.display().to_string(), &text)
    }

    /// Adds up the day of a manifest, checking the digest of every file first.
    ///
    /// # Errors
    ///
    /// What is missing or wrong.
    pub fn add_up(
        &self,
        manifest: &Manifest,
        blocks: usize,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Day, Bad> {
        let register = self.register(manifest)?;
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        for digest in &manifest.files {
            let path = self.path(digest, "parquet");
            if digest_of(&path).map_err(|error| failed(&path, error))? != *digest {
                return Err(failed(&path, "is not the file that it is named after"));
            }
            sources.push(source::open(&path)?);
        }
        aggregate(&register, sources, blocks, progress)
    }
}

fn digest_of(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex(context.finish().as_ref()));
        }
        context.update(buffer.get(..read).unwrap_or_default());
    }
}

/// A file of readings on its way into the archive; dropped, it leaves nothing.
pub struct Incoming {
    archive: Archive,
    file: tempfile::NamedTempFile,
    out: ParquetOut<std::io::BufWriter<File>>,
}

impl Incoming {
    /// Adds readings.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn add(&mut self, chunk: super::Chunk) -> Result<(), Bad> {
        self.out.add(chunk).map_err(|error| failed(self.file.path(), error))
    }

    /// Makes it durable and names it after its digest.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn finish(self) -> Result<String, Bad> {
        let Self { archive, file, out } = self;
        out.close().map_err(|error| failed(file.path(), error))?;
        file.as_file().sync_all().map_err(|error| failed(file.path(), error))?;
        let digest = digest_of(file.path()).map_err(|error| failed(file.path(), error))?;
        let path = archive.path(&digest, "parquet");
        file.persist(&path).map_err(|error| failed(&path, error))?;
        Ok(digest)
    }
}
