//! The mark of a stage whose settings were changed under a state that it keeps, or that forgot some
//! of it.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Header, last, text};
use super::header;

/// Says up to where a stage worked as another chain, or with a state that was reset then.
///
/// It stands in the stage's dead-letter topic, its ledger, and is written in one transaction with
/// the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// What was done about the state.
    pub remedy: MigrationKind,
    /// The chain up to here, as it [describes](crate::operator::Operator::describe) itself; nothing
    /// if nobody knows, because there was no state any more that told.
    pub chain: Option<String>,
    /// The offset from which the new chain counts, by input and partition; of those that are absent
    /// it counts from the first record.
    pub offsets: BTreeMap<(String, i32), i64>,
    /// The sensors that were [forgotten](MigrationKind::Forgotten); otherwise none.
    pub sensors: BTreeSet<String>,
}

/// What was done about the state of another chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationKind {
    /// The new chain goes on with what the old one remembered.
    Kept,
    /// The new chain began with an empty state, at the offsets where the old one had ended.
    Reset,
    /// It began with an empty state, and read again what the old one had worked on.
    Anew,
    /// The chain is the same, and went on without what it remembered of some sensors.
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
    /// The headers of the record that is the mark; it has neither key nor value.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let offset = |((topic, partition), offset): (&(String, i32), &i64)| {
            format!("{topic}/{partition}={offset}")
        };
        let offsets: Vec<String> = self.offsets.iter().map(offset).collect();
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
    fn what_is_not_as_rivulet_writes_it_is_foreign() {
        let change = Migration {
            remedy: MigrationKind::Kept,
            chain: Some("ewma(alpha=0.5)".into()),
            offsets: [(("warm".into(), 0), 12), (("warm".into(), 1), 7)].into(),
            sensors: BTreeSet::new(),
        };
        let whole = change.headers();
        assert_eq!(whole[2].1.as_deref(), Some(&b"warm/0=12,warm/1=7"[..]));
        assert_eq!(LedgerRecord::read(&whole), LedgerRecord::Migration(change));
        for (index, value) in [
            (0, "lost"),
            (2, "warm=12"),
            (2, "warm/0"),
            (2, "warm/0=a"),
            (2, "warm/0=1,,warm/1=a"),
        ] {
            let mut spoilt = whole.clone();
            spoilt[index].1 = Some(value.into());
            assert_eq!(
                LedgerRecord::read(&spoilt),
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
