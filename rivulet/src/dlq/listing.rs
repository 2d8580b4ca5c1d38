//! The letters by stage and reason, as a table or for scripts.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use stream::dead_letter::Resolved;

use super::ledger::{Filed, Ledger};
use super::{Selection, text};

/// How many characters of an error the table shows.
const SAMPLE: usize = 60;
/// How many characters of a reason the table shows.
const REASON: usize = 30;

/// What there is, by stage and reason; a table when it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct DlqListing {
    /// Stage after stage.
    pub groups: Vec<Group>,
}

/// The letters of one stage and reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The stage that refused them.
    pub stage: String,
    /// The topic that they are in.
    pub topic: String,
    /// Why, in a word; `foreign` for what no stage wrote.
    pub reason: String,
    /// How many nobody has dealt with.
    pub open: u64,
    /// How many were sent back to where they came from.
    pub replayed: u64,
    /// How many somebody dropped.
    pub dropped: u64,
    /// When the first of those that are open entered the pipeline: RFC 3339.
    pub first: Option<String>,
    /// When the last of those that are open did.
    pub last: Option<String>,
    /// What was wrong with one of those that are open.
    pub sample: Option<String>,
}

impl DlqListing {
    pub(super) fn new(ledgers: &[Ledger<'_>], selection: &Selection) -> Self {
        let mut groups = Vec::new();
        for ledger in ledgers {
            let mut by_reason: BTreeMap<&Rc<str>, Vec<&Filed>> = BTreeMap::new();
            for (_, filed) in ledger.selected(selection) {
                by_reason.entry(&filed.reason).or_default().push(filed);
            }
            groups.extend(
                by_reason
                    .into_iter()
                    .map(|(reason, letters)| Group::new(ledger, reason, &letters)),
            );
        }
        DlqListing { groups }
    }

    /// How many letters are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.groups.iter().map(|group| group.open).sum()
    }
}

impl Group {
    fn new(ledger: &Ledger<'_>, reason: &str, letters: &[&Filed]) -> Self {
        let count = |resolved| {
            letters
                .iter()
                .filter(|filed| filed.resolved == resolved)
                .count() as u64
        };
        let open = || letters.iter().filter(|filed| filed.resolved.is_none());
        let times = || open().map(|filed| filed.timestamp);
        Group {
            stage: ledger.stage.name.clone(),
            topic: ledger.stage.dead_letters(),
            reason: reason.to_owned(),
            open: count(None),
            replayed: count(Some(Resolved::Replayed)),
            dropped: count(Some(Resolved::Dropped)),
            first: times().min().map(text::time),
            last: times().max().map(text::time),
            sample: open().next_back().map(|filed| filed.error.to_string()),
        }
    }
}

impl fmt::Display for DlqListing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() {
            return writeln!(f, "no dead letters");
        }
        let mut rows = vec![
            [
                "stage", "reason", "open", "replayed", "dropped", "first", "last", "sample",
            ]
            .map(String::from),
        ];
        for group in &self.groups {
            let or_dash = |text: &Option<String>| {
                text.as_deref()
                    .map_or("-".to_owned(), |text| text::plain(text, SAMPLE))
            };
            rows.push([
                group.stage.clone(),
                text::plain(&group.reason, REASON),
                group.open.to_string(),
                group.replayed.to_string(),
                group.dropped.to_string(),
                or_dash(&group.first),
                or_dash(&group.last),
                or_dash(&group.sample),
            ]);
        }
        let widths: [usize; 8] = std::array::from_fn(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or_default()
        });
        for row in &rows {
            let cells = row
                .iter()
                .zip(widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    2..=4 => format!("{cell:>width$}"),
                    _ => format!("{cell:width$}"),
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        let open = self.open();
        if open == 0 {
            writeln!(f, "nothing is open")
        } else {
            writeln!(
                f,
                "{open} open: `rivulet dlq show` shows them, `replay` sends them back, `drop` is \
                 done with them"
            )
        }
    }
}
