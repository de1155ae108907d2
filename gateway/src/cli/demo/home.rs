//! Where the demo's exchange lives: a directory that goes with it, or one that the user keeps.

use super::render::{Screen, Tone};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// The directory.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    /// Removed with this value.
    passing: Option<tempfile::TempDir>,
}

impl Home {
    /// A new directory: `keep`, which must be new or empty, or one that vanishes.
    pub(super) fn new(keep: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = keep else {
            let passing = tempfile::Builder::new().prefix("merit-demo-").tempdir();
            let passing = passing.context("cannot make a directory for the journal")?;
            return Ok(Self { path: passing.path().to_owned(), passing: Some(passing) });
        };
        std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
        anyhow::ensure!(entries.next().is_none(), "{} is not empty", path.display());
        Ok(Self { path: path.to_owned(), passing: None })
    }

    /// What the exchange keeps.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The journal.
    pub(super) fn journal(&self) -> PathBuf {
        self.data().join("journal")
    }

    /// Certificates and keys of everybody.
    pub(super) fn certs(&self) -> PathBuf {
        self.path.join("certs")
    }

    /// Says what was kept and what can be done with it.
    pub(super) fn farewell(&self, screen: &Screen) {
        if self.passing.is_some() {
            screen.line(&screen.tone(Tone::Faint, "nothing was kept; --keep DIR keeps journal and certificates"));
            return;
        }
        let (journal, certs) = (self.journal(), self.certs());
        screen.line(&format!("kept  the journal in {}", journal.display()));
        screen.line(&format!("      certificates and keys in {}", certs.display()));
        for (lead, verb) in [("try   ", "verify"), ("      ", "digest"), ("      ", "print")] {
            screen.line(&format!("{lead}merit journal {verb} {}", journal.display()));
        }
    }
}
