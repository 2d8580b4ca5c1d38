//! The readings of one record.

use std::slice;

use crate::reading::Reading;

/// The readings of one record, in order: none, one or several.
///
/// Almost every record has one, so one needs no memory of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Readings<'a> {
    /// The record does not concern the chain: it is skipped and counted.
    #[default]
    None,
    /// One.
    One(Reading<'a>),
    /// Several. They go through the chain together: if one of them cannot be processed, the record
    /// becomes a dead letter, and none of them changes the state.
    Several(Vec<Reading<'a>>),
}

impl<'a> Readings<'a> {
    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Reading<'a>] {
        match self {
            Readings::None => &[],
            Readings::One(reading) => slice::from_ref(reading),
            Readings::Several(readings) => readings,
        }
    }

    /// Calls `each` with one after the other, until it returns an error.
    ///
    /// # Errors
    /// The first error of `each`.
    pub fn try_for_each<E>(
        self,
        mut each: impl FnMut(Reading<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Readings::None => Ok(()),
            Readings::One(reading) => each(reading),
            Readings::Several(readings) => readings.into_iter().try_for_each(each),
        }
    }
}

impl<'a> From<Reading<'a>> for Readings<'a> {
    fn from(reading: Reading<'a>) -> Self {
        Readings::One(reading)
    }
}

impl<'a> FromIterator<Reading<'a>> for Readings<'a> {
    fn from_iter<I: IntoIterator<Item = Reading<'a>>>(readings: I) -> Self {
        let mut readings = readings.into_iter();
        let Some(first) = readings.next() else {
            return Readings::None;
        };
        let Some(second) = readings.next() else {
            return Readings::One(first);
        };
        let mut several = vec![first, second];
        several.extend(readings);
        Readings::Several(several)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_many_as_were_collected() {
        let reading = |seq| Reading {
            sensor: "a".into(),
            seq,
            time: 0,
            value: 0.0,
            unit: None,
        };
        for count in 0..4 {
            let readings: Readings<'_> = (0..count).map(reading).collect();
            let seqs: Vec<u64> = readings.as_slice().iter().map(|one| one.seq).collect();
            assert_eq!(seqs, (0..count).collect::<Vec<_>>());
            let mut passed = 0;
            let ended = readings.try_for_each(|reading| {
                passed += 1;
                if reading.seq == 1 {
                    Err("stop")
                } else {
                    Ok(())
                }
            });
            assert_eq!((ended.is_err(), passed), (count > 1, count.min(2)));
        }
        assert_eq!(
            (0..0).map(reading).collect::<Readings<'_>>(),
            Readings::None
        );
        assert!(matches!(
            (0..1).map(reading).collect::<Readings<'_>>(),
            Readings::One(_)
        ));
    }
}
