//! What a shell completes: options and commands, and the topics and groups of the cluster.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Duration;

use clap::{ArgMatches, Args as _, Command, FromArgMatches};
use clap_complete::CompletionCandidate;
use clap_complete::env::Shells;
use rivulet_core::error::Result;
use rivulet_kafka::Cluster;
use rivulet_node::cli::Common;

use crate::{Registry, Target};

/// How long somebody who has pressed Tab waits for a broker.
const PATIENCE: Duration = Duration::from_millis(800);
/// The variable with which the shell asks for completions.
pub(crate) const VARIABLE: &str = "COMPLETE";

/// Writes what a shell reads to complete `rivulet`.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn registration(shell: &str, out: &mut dyn io::Write) -> io::Result<()> {
    let shells = Shells::builtins();
    let unknown = || io::Error::other(format!("there are no completions for {shell}"));
    let shell = shells.completer(shell).ok_or_else(unknown)?;
    shell.write_registration(VARIABLE, "rivulet", "rivulet", "rivulet", out)
}

/// The topics of the cluster that begin like this.
pub(crate) fn topics(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, |cluster| {
        Ok(cluster.inventory()?.topics.into_keys().collect())
    })
}

/// The consumer groups of the cluster that begin like this.
pub(crate) fn groups(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, |cluster| {
        cluster.inventory()?;
        let groups = cluster.groups()?.into_iter();
        Ok(groups.map(|group| group.name).collect())
    })
}

fn candidates(
    current: &OsStr,
    names: impl FnOnce(&Cluster) -> Result<Vec<String>>,
) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let registry = Registry::default();
    // Without a cluster there is nothing to complete, and nobody to tell why.
    let target = Target::new(&typed(), Some(PATIENCE), &registry).ok();
    let cluster = target.and_then(|target| Cluster::new(&target.connection).ok());
    let names = cluster.and_then(|cluster| names(&cluster).ok());
    let names = names.unwrap_or_default().into_iter();
    names
        .filter(|name| name.starts_with(&*current) && is_word(name))
        .map(CompletionCandidate::new)
        .collect()
}

/// Whether a shell can take a name as it is.
fn is_word(name: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@/+".contains(&byte);
    !name.is_empty() && name.bytes().all(is_safe)
}

/// The options that have been typed so far, such as `--brokers`.
fn typed() -> Common {
    let words: Vec<OsString> = env::args_os()
        .skip_while(|word| word != "--")
        .skip(1)
        .collect();
    let is_option = |word: &OsString| word.to_string_lossy().starts_with('-');
    let first = words.iter().position(is_option).unwrap_or(words.len());
    let options = || Common::augment_args(Command::new("rivulet").ignore_errors(true));
    let parse = |words: &[OsString]| -> Option<ArgMatches> {
        let words = [OsString::from("rivulet")]
            .into_iter()
            .chain(words.iter().cloned());
        options().try_get_matches_from(words).ok()
    };
    let matches = parse(&words[first..]).or_else(|| parse(&[]));
    let found = matches.and_then(|matches| Common::from_arg_matches(&matches).ok());
    found.expect("every option has a default")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_shell_takes_as_they_are_are_offered() {
        for name in ["readings", "a.b-c_d", "ewma@rpi0"] {
            assert!(is_word(name), "{name}");
        }
        for name in ["", "a b", "a;b", "$(x)", "a\n", "ä", "\u{1b}[2J"] {
            assert!(!is_word(name), "{name}");
        }
    }

    #[test]
    fn each_shell_has_a_registration() {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let mut script = Vec::new();
            registration(shell, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains("rivulet") && script.contains(VARIABLE),
                "{script}"
            );
        }
        assert!(registration("sh", &mut Vec::new()).is_err());
    }
}
