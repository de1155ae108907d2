//! The command line: one file a verb, one line here for each.

mod clearing;
mod connect;
pub mod output;
mod outputs;
mod reach;
mod surveillance;

use crate::files::FileError;
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::ExitCode;

/// Declares the verbs, `file: Arguments`, `pub` where the file is of use to others. A verb's arguments are a `clap::Args` with the method
/// `run(self) -> Result<Exit, Failure>`; their doc comment is the verb's help.
macro_rules! verbs {
    ($($visible:vis $file:ident: $arguments:ident,)+) => {
        $($visible mod $file;)+

        #[derive(Debug, Subcommand)]
        enum Verb {
            $(
                // The verb is called as its file is.
                #[command(name = stringify!($file))]
                $arguments($file::$arguments),
            )+
        }

        impl Verb {
            fn run(self) -> Result<Exit, Failure> {
                match self {
                    $(Self::$arguments(arguments) => arguments.run(),)+
                }
            }
        }
    };
}

verbs! {
    demo: Demo,
    dispatch: DispatchCentre,
    operator: OperatorDesk,
    pub certs: Certs,
    clear: Clear,
    serve: Serve,
    verify: Verify,
    journal: Journal,
    report: Report,
    settle: Settle,
    status: Status,
    switchover: Switchover,
    failover: Failover,
    history: History,
}

const EXIT_CODES: &str = "Exit codes: 0 ok · 1 error · 2 wrong use, or an input file that cannot be read or \
breaks its format · 3 a check failed · 4 a check warns · 5 refused by policy · 10 unhealthy";

/// Merit, an electricity exchange.
#[derive(Debug, Parser)]
#[command(name = "merit", version, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

/// How a command ended, for the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// It could not be done.
    Error,
    /// Wrong use: arguments, or an input file that cannot be read or breaks its format.
    Usage,
    /// A check found a rule broken.
    CheckFailed,
    /// A check found something that someone should look at.
    CheckWarns,
    /// Policy refuses it.
    Refused,
    /// The node asked is not healthy.
    Unhealthy,
}

impl Exit {
    /// The number the shell sees. Never renumbered: scripts rely on it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::CheckFailed => 3,
            Self::CheckWarns => 4,
            Self::Refused => 5,
            Self::Unhealthy => 10,
        }
    }
}

/// A command that ended early: what to say on standard error, and how to exit.
#[derive(Debug)]
pub struct Failure {
    /// How to exit.
    pub exit: Exit,
    /// What to say; lines after the first are details.
    pub message: String,
}

impl Failure {
    /// Something could not be done.
    #[must_use]
    pub fn error(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Error, message: message.to_string() }
    }

    /// The arguments, or a file they name, are wrong.
    #[must_use]
    pub fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// An input file is wrong.
    #[must_use]
    pub fn file(path: &Path, error: &FileError) -> Self {
        match error {
            FileError::Io { .. } | FileError::TooLarge { .. } => Self::usage(error),
            FileError::Malformed { .. } => Self::usage(format_args!("{}: {error}", path.display())),
            FileError::Invalid(problems) => {
                let rules = if problems.count() == 1 { "a rule" } else { "rules" };
                Self::usage(format_args!("{} breaks {rules} of its format\n{error}", path.display()))
            }
        }
    }
}

/// Runs one command line, first argument the program's name, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let exit = match CommandLine::try_parse_from(arguments) {
        Ok(line) => line.verb.run(),
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // A closed terminal cannot be told that it is closed.
            let _ = error.print();
            Ok(exit)
        }
    };
    let exit = exit.unwrap_or_else(|failure| {
        eprintln!("merit: {}", failure.message);
        failure.exit
    });
    ExitCode::from(exit.code())
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use clap::CommandFactory;

    #[test]
    fn every_verb_has_help_and_no_argument_clashes() {
        CommandLine::command().debug_assert();
        for verb in CommandLine::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{} says nothing about itself", verb.get_name());
        }
    }
}
