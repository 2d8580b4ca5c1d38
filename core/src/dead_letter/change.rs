//! Migrations: records of what was done with a stage's state when its settings changed.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{last, text};
use super::header;
use crate::log::Header;

/// The offsets up to which a stage ran as another chain, or with another state.
///
/// It is a record in the stage's dead-letter topic, written in one transaction with the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What was done with the state.
    pub remedy: MigrationKind,
    /// The [description](crate::operator::Operator::describe) of the chain before the migration.
    /// `None` if it is unknown, because there was no state.
    pub chain: Option<String>,
    /// The offset at which the new chain starts, by input and partition. Where one is absent, it
    /// starts at the first record.
    pub offsets: BTreeMap<(String, i32), i64>,
    /// The sensors whose state was removed: see [`MigrationKind::Forgotten`]. Otherwise empty.
    pub sensors: BTreeSet<String>,
}

/// What was done with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationKind {
    /// The new chain goes on with the state of the old one.
    Kept,
    /// The new chain starts with an empty state, at the committed offsets of the old one.
    Reset,
    /// The new chain starts with an empty state, and reads its inputs again from the first record.
    Anew,
    /// The chain is the same. The state of some sensors was removed.
    Forgotten,
}

const MIGRATION_KINDS: [MigrationKind; 4] = [
    MigrationKind::Kept,
    MigrationKind::Reset,
    MigrationKind::Anew,
    MigrationKind::Forgotten,
];

impl MigrationKind {
    /// The word in headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            MigrationKind::Kept => "kept",
            MigrationKind::Reset => "reset",
            MigrationKind::Anew => "anew",
            MigrationKind::Forgotten => "forgotten",
        }
    }
}

impl Migration {
    /// The headers of the migration's record, which has no key and no value.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let offsets: Vec<String> = self
            .offsets
            .iter()
            .map(|((topic, partition), offset)| format!("{topic}/{partition}={offset}"))
            .collect();
        let mut headers = vec![text(header::STATE, self.remedy.name())];
        headers.extend(self.chain.as_ref().map(|chain| text(header::CHAIN, chain)));
        headers.push(text(header::OFFSETS, &offsets.join(",")));
        if self.remedy == MigrationKind::Forgotten {
            headers.push(text(
                header::SENSORS,
                &serde_json::json!(self.sensors).to_string(),
            ));
        }
        headers
    }

    pub(super) fn read(headers: &[Header]) -> Option<Self> {
        let (headers, sensors) = match last(headers, header::SENSORS) {
            Some((before, sensors)) => (before, Some(serde_json::from_str(sensors).ok()?)),
            None => (headers, None),
        };
        let (headers, offsets) = last(headers, header::OFFSETS)?;
        let (headers, chain) = match last(headers, header::CHAIN) {
            Some((before, chain)) => (before, Some(chain.to_owned())),
            None => (headers, None),
        };
        let (headers, remedy) = last(headers, header::STATE)?;
        let remedy = MIGRATION_KINDS
            .into_iter()
            .find(|known| known.name() == remedy)?;
        let offsets = offsets
            .split(',')
            .filter(|offset| !offset.is_empty())
            .map(offset)
            .collect::<Option<_>>()?;
        let is_whole =
            headers.is_empty() && sensors.is_some() == (remedy == MigrationKind::Forgotten);
        is_whole.then(|| Migration {
            remedy,
            chain,
            offsets,
            sensors: sensors.unwrap_or_default(),
        })
    }
}

fn offset(text: &str) -> Option<((String, i32), i64)> {
    let (place, offset) = text.split_once('=')?;
    let (topic, partition) = place.rsplit_once('/')?;
    Some((
        (topic.to_owned(), partition.parse().ok()?),
        offset.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::super::LedgerRecord;
    use super::*;

    #[test]
    fn any_other_headers_are_foreign() {
        let migration = Migration {
            remedy: MigrationKind::Kept,
            chain: Some("ewma(alpha=0.5)".into()),
            offsets: [(("warm".into(), 0), 12), (("warm".into(), 1), 7)].into(),
            sensors: BTreeSet::new(),
        };
        let whole = migration.headers();
        assert_eq!(whole[2].1.as_deref(), Some(&b"warm/0=12,warm/1=7"[..]));
        assert_eq!(
            LedgerRecord::read(&whole),
            LedgerRecord::Migration(migration)
        );
        for (index, value) in [
            (0, "lost"),
            (2, "warm=12"),
            (2, "warm/0"),
            (2, "warm/0=a"),
            (2, "warm/0=1,,warm/1=a"),
        ] {
            let mut invalid = whole.clone();
            invalid[index].1 = Some(value.into());
            assert_eq!(
                LedgerRecord::read(&invalid),
                LedgerRecord::Foreign,
                "{value}"
            );
        }
        for lacking in [&whole[1..], &whole[..2]] {
            assert_eq!(LedgerRecord::read(lacking), LedgerRecord::Foreign);
        }
        let mut forgotten = whole.clone();
        forgotten[0].1 = Some("forgotten".into());
        assert_eq!(
            LedgerRecord::read(&forgotten),
            LedgerRecord::Foreign,
            "without its sensors"
        );
    }
}
