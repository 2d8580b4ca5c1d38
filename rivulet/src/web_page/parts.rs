//! What all viewers see: [`PageParts`].

use std::collections::BTreeMap;
use std::sync::Arc;

/// The parts of the page that are the same for all who see it, each as JSON. They are made once,
/// however many look.
#[derive(Debug, Default)]
pub(super) struct PageParts {
    /// Counts how often they were made.
    turn: u64,
    /// With the turn in which they have last changed.
    parts: BTreeMap<String, (u64, Arc<str>)>,
}

impl PageParts {
    /// Replaces all parts. One that is not there any more becomes `null`.
    pub(super) fn replace(&mut self, new: impl IntoIterator<Item = (String, String)>) {
        self.turn += 1;
        let mut new: BTreeMap<String, String> = new.into_iter().collect();
        for (name, (turn, json)) in &mut self.parts {
            let now = new.remove(name).unwrap_or_else(|| "null".to_owned());
            if **json != *now {
                (*turn, *json) = (self.turn, now.into());
            }
        }
        let turn = self.turn;
        let added = new.into_iter();
        self.parts
            .extend(added.map(|(name, json)| (name, (turn, json.into()))));
    }

    /// The parts that have changed after a turn, and the turn now.
    pub(super) fn since(&self, turn: u64) -> (Vec<(&str, Arc<str>)>, u64) {
        let changed = self.parts.iter().filter(|(_, (at, _))| *at > turn);
        let changed = changed.map(|(name, (_, json))| (name.as_str(), json.clone()));
        (changed.collect(), self.turn)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However seldom a viewer looks, he has what is there then.
        #[test]
        fn a_viewer_who_was_told_what_changed_has_it_all(
            turns in prop::collection::vec(
                (prop::collection::btree_map("[a-d]", 0..3_u8, 0..4), any::<bool>()), 1..40),
        ) {
            let (mut parts, mut seen, mut viewer) = (PageParts::default(), 0, BTreeMap::new());
            for (new, looks) in turns {
                let new = new.into_iter().map(|(name, number)| (name, number.to_string()));
                let new: BTreeMap<String, String> = new.collect();
                parts.replace(new.clone());
                if looks {
                    let (changed, turn) = parts.since(seen);
                    seen = turn;
                    viewer.extend(changed.into_iter().map(|(name, json)| (name.to_owned(), json)));
                    let found: BTreeMap<String, String> = viewer
                        .iter()
                        .filter(|(_, json)| &***json != "null")
                        .map(|(name, json)| (name.clone(), json.to_string()))
                        .collect();
                    prop_assert_eq!(found, new);
                }
            }
        }
    }

    #[test]
    fn what_stays_the_same_is_told_once() {
        let mut parts = PageParts::default();
        let all = |number: u8| {
            [
                ("a".to_owned(), "1".to_owned()),
                ("b".into(), number.to_string()),
            ]
        };
        parts.replace(all(1));
        let (first, turn) = parts.since(0);
        assert_eq!(first.len(), 2);
        parts.replace(all(2));
        let (second, _) = parts.since(turn);
        assert_eq!(second, [("b", "2".into())]);
    }
}
