//! The shelter: what stands between a source that cannot go back and the loop.
//!
//! What such a source yields is gone unless it is kept: in memory while the clock is not set
//! (`timed`), or in any case on disk, while Kafka is away too (`spooled`).

mod numbers;
mod spooled;
mod timed;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use stream::error::Result as OrError;
use stream::format::FormatName;
use stream::pipeline::{ClockPolicy, ComponentConfig, Diagnostic, SpoolSettings};
use stream::reading::InvalidReading;
use stream::shutdown::Shutdown;

use self::spooled::SpooledSource;
use self::timed::ClockBuffer;
use crate::catalog::{self, SourceContext, SourceSettings};
use crate::clock::{SystemClock, TrustedClock};
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};

/// Reads the settings of the source that a pipeline file names, with those of its spool. Nothing is
/// opened yet.
///
/// # Errors
/// An unknown name, settings that the source refuses, or a spool for one that needs none.
pub fn read(
    source: &ComponentConfig,
    spool: Option<&SpoolSettings>,
) -> Result<Box<dyn SourceSettings>, Diagnostic> {
    let settings = catalog::read(source)?;
    if spool.is_some() && !settings.is_live() {
        let message = format!(
            "`{}` needs no spool: after a pause it goes on where it was",
            source.name()
        );
        return Err(Diagnostic::at(source.place(), message).help("take `spool` away"));
    }
    Ok(settings)
}

/// Opens a source, sheltered if it cannot go back. With a spool, readings are taken from now on,
/// or, if the spool is new, from when it is known where the last run stopped. `anew` forgets what
/// is in the spool. A process that leaves because no broker answers syncs the spool before, and
/// says what is lost without one.
///
/// # Errors
/// What the source or the spool refuses.
pub fn open(
    settings: &dyn SourceSettings,
    context: &SourceContext,
    spool: Option<&SpoolSettings>,
    clock: ClockPolicy,
    anew: bool,
    shutdown: &Shutdown,
) -> OrError<Box<dyn Source>> {
    let source = settings.open(context)?;
    if !settings.is_live() {
        return Ok(source);
    }
    let sense = TrustedClock::new(Arc::new(SystemClock::new()), clock);
    Ok(match spool {
        Some(spool) => {
            let spooled = SpooledSource::open(
                source,
                &context.folder.join(&spool.path),
                spool,
                sense,
                anew,
            )?;
            shutdown.on_exit(spooled.exit_hook());
            Box::new(spooled)
        }
        None => {
            let timed = ClockBuffer::new(source, sense);
            shutdown.on_exit(timed.exit_hook());
            Box::new(timed)
        }
    })
}

/// What a source yields, as a record; nothing if there is nothing to keep.
fn keep<T>(
    next: &Next<'_>,
    sense: &mut TrustedClock,
    keep: impl FnOnce(&SpoolRecord<'_>) -> T,
) -> Option<T> {
    Some(match next {
        Next::Reading(reading) => keep(&SpoolRecord::Reading(reading.clone(), None)),
        Next::Measured(reading) => {
            let mut reading = reading.clone();
            let stamp = sense.stamp();
            reading.time = stamp.unwrap_or(reading.time);
            keep(&SpoolRecord::Reading(reading, stamp.err()))
        }
        Next::Bad {
            bytes,
            place,
            refusal,
        } => keep(&SpoolRecord::Bad {
            reason: refusal.reason,
            detail: &refusal.detail,
            place,
            bytes,
        }),
        Next::NotYet | Next::End => return None,
    })
}

/// What was kept, as the loop takes it. `offset` is what gives a moment its time, if anything does;
/// `letter` holds the bytes of a dead letter.
fn release<'a>(kept: &'a [u8], offset: Option<i64>, letter: &'a mut Vec<u8>) -> Next<'a> {
    match record::decode(kept) {
        Ok((SpoolRecord::Reading(reading, None), _)) => Next::Reading(reading),
        Ok((SpoolRecord::Reading(mut reading, Some(moment)), _)) => match offset {
            Some(offset) => {
                reading.time = offset + moment.since;
                Next::Reading(reading)
            }
            None => {
                letter.clear();
                if FormatName::Json
                    .build(None)
                    .encode(&reading, letter)
                    .is_err()
                {
                    letter.clear();
                    letter.extend_from_slice(format!("{reading:?}").as_bytes());
                }
                let place = format!("sensor {} reading {}", reading.sensor, reading.seq);
                let detail = "measured before the machine's clock was set: its time is not known";
                Next::Bad {
                    bytes: letter,
                    place,
                    refusal: InvalidReading::new("clock-not-set", detail),
                }
            }
        },
        Ok((
            SpoolRecord::Bad {
                reason,
                detail,
                place,
                bytes,
            },
            _,
        )) => Next::Bad {
            bytes,
            place: place.to_owned(),
            refusal: InvalidReading::new(word(reason), detail),
        },
        // What is kept was whole when it was taken.
        Ok((SpoolRecord::Position(_) | SpoolRecord::Anchor { .. }, _)) | Err(_) => Next::NotYet,
    }
}

/// A reason that lives as long as the program; there are few.
fn word(reason: &str) -> &'static str {
    static WORDS: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    match words.get(reason) {
        Some(word) => word,
        None if words.len() >= 100 => "other",
        None => {
            let word = Box::leak(reason.to_owned().into_boxed_str());
            words.insert(word);
            word
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stream::pipeline::WhenFull;

    use super::*;

    #[test]
    fn only_what_cannot_go_back_has_a_spool() {
        let (when_full, sync) = (WhenFull::DropOldest, Duration::ZERO);
        let spool = SpoolSettings {
            path: "s".into(),
            size: 1,
            when_full,
            sync,
        };
        let refused = |part: &str| {
            read(&ComponentConfig::parse(part).unwrap(), Some(&spool))
                .map(|_| ())
                .map_err(|m| m.to_string())
        };
        assert_eq!(
            (refused("thermal = {}"), refused("lines = {}")),
            (Ok(()), Ok(()))
        );
        for part in [
            "list = { values = [1] }",
            "simulated = {}",
            "file = { path = \"a.csv\", value = \"v\" }",
        ] {
            assert!(
                refused(part).unwrap_err().contains("take `spool` away"),
                "{part}"
            );
        }
    }

    #[test]
    fn reasons_are_kept_once() {
        assert!(std::ptr::eq(
            word("not-json"),
            word(&["not", "json"].join("-"))
        ));
        (0..200).for_each(|n| _ = word(&n.to_string()));
        assert_eq!((word("whatever"), word("not-json")), ("other", "not-json"));
    }
}
