//! The buffer between a live source and the source loop.
//!
//! A live source cannot read anything a second time. With a spool (`spooled`) its readings are on
//! disk before they are sent, so none is lost while Kafka is unreachable. Without a spool (`timed`)
//! they are held in memory while the clock is not set.

mod numbers;
mod spooled;
mod timed;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rivulet_core::error::Result as OrError;
use rivulet_core::format::Format;
use rivulet_core::metrics::Metrics;
use rivulet_core::reading::InvalidReading;
use rivulet_core::shutdown::Shutdown;
use rivulet_formats::catalog::json::JsonFormat;
use rivulet_pipeline::catalog::Catalog;
use rivulet_pipeline::{ClockPolicy, ComponentConfig, Diagnostic, Diagnostics, SpoolSettings};

use self::spooled::SpooledSource;
use self::timed::ClockBuffer;
use crate::catalog::{SourceContext, SourceSettings};
use crate::clock::{SystemClock, TrustedClock};
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};

/// The longest whole record that fits into a spool, in bytes: the rest is for its lengths.
const LONGEST_RECORD: usize = record::LONGEST / 2;

/// Reads the settings of the source that a pipeline file names, and checks its spool. Nothing is
/// opened yet.
///
/// # Errors
/// An unknown name, every error in the settings, or a spool for a source that needs none.
pub fn read(
    catalog: &Catalog<dyn SourceSettings>,
    source: &ComponentConfig,
    spool: Option<&SpoolSettings>,
) -> Result<Box<dyn SourceSettings>, Diagnostics> {
    let settings = catalog.read(source);
    // Whether a source is live does not depend on its settings.
    let is_live = match &settings {
        Ok(settings) => Some(settings.is_live()),
        Err(_) => catalog.example(source).map(|settings| settings.is_live()),
    };
    if spool.is_some() && is_live == Some(false) {
        let message = format!(
            "`{}` needs no spool: it can read everything again from its last position",
            source.name()
        );
        let needless = Diagnostic::at(source.place(), message).help("remove `spool`");
        let others = settings.err().into_iter().flatten();
        return Err(source.errors([needless].into_iter().chain(others)));
    }
    settings
}

/// Opens a source, with a buffer if it is live.
///
/// A spool that knows the source's position reads the source from now on. A new spool waits for
/// [`Source::resume`] or [`Source::next`]. `from_start` deletes what is in the spool. A process
/// that exits because the brokers are unreachable syncs the spool first; without a spool it logs
/// how many readings are lost.
///
/// # Errors
/// If the source or the spool cannot be opened.
pub fn open(
    settings: &dyn SourceSettings,
    context: &SourceContext,
    spool: Option<&SpoolSettings>,
    policy: ClockPolicy,
    from_start: bool,
    shutdown: &Shutdown,
    metrics: &Arc<Metrics>,
) -> OrError<Box<dyn Source>> {
    let source = settings.open(context)?;
    if !settings.is_live() {
        return Ok(source);
    }
    let clock = TrustedClock::new(Arc::new(SystemClock::new()), policy);
    Ok(match spool {
        Some(spool) => {
            let spooled = SpooledSource::open(
                source,
                &context.folder.join(&spool.path),
                spool,
                clock,
                from_start,
                metrics.clone(),
            )?;
            shutdown.on_exit(spooled.exit_hook());
            Box::new(spooled)
        }
        None => {
            let timed = ClockBuffer::new(source, clock);
            shutdown.on_exit(timed.exit_hook());
            Box::new(timed)
        }
    })
}

/// Passes what a source yields to `store`, as a record. `None` if there is nothing to store.
fn encode<T>(
    next: &Next<'_>,
    clock: &mut TrustedClock,
    store: impl FnOnce(&SpoolRecord<'_>) -> T,
) -> Option<T> {
    Some(match next {
        Next::Reading(reading) => store(&SpoolRecord::Reading(reading.clone(), None)),
        Next::Measured(reading) => {
            let mut reading = reading.clone();
            let timestamp = clock.timestamp();
            reading.time = timestamp.unwrap_or(reading.time);
            store(&SpoolRecord::Reading(reading, timestamp.err()))
        }
        Next::Record(record) if record.size() > LONGEST_RECORD => store(&SpoolRecord::Bad {
            reason: "too-large",
            detail: &format!("it has {} bytes, too many for the buffer", record.size()),
            place: &format!(
                "a record for {}",
                record.topic.as_deref().unwrap_or_default()
            ),
            bytes: b"",
        }),
        Next::Record(record) => store(&SpoolRecord::Record(record.clone())),
        Next::Bad {
            bytes,
            place,
            invalid,
        } => store(&SpoolRecord::Bad {
            reason: invalid.reason,
            detail: &invalid.detail,
            place,
            bytes,
        }),
        Next::NotYet | Next::End => return None,
    })
}

/// Decodes a stored record for the source loop. `epoch_offset` turns a monotonic time into a
/// timestamp; without it such a reading becomes a dead letter, whose bytes `dead_letter` holds.
fn decode<'a>(
    stored: &'a [u8],
    epoch_offset: Option<i64>,
    dead_letter: &'a mut Vec<u8>,
) -> Next<'a> {
    match record::decode(stored) {
        Ok((SpoolRecord::Reading(reading, None), _)) => Next::Reading(reading),
        Ok((SpoolRecord::Reading(mut reading, Some(measured)), _)) => match epoch_offset {
            Some(offset) => {
                reading.time = offset + measured.since;
                Next::Reading(reading)
            }
            None => {
                dead_letter.clear();
                let json = JsonFormat::default();
                if json.encode(&reading, dead_letter).is_err() {
                    dead_letter.clear();
                    dead_letter.extend_from_slice(format!("{reading:?}").as_bytes());
                }
                let place = format!("sensor {} reading {}", reading.sensor, reading.seq);
                let detail = "measured before the machine's clock was set: its time is not known";
                Next::Bad {
                    bytes: dead_letter,
                    place,
                    invalid: InvalidReading::new("clock-not-set", detail),
                }
            }
        },
        Ok((SpoolRecord::Record(record), _)) => Next::Record(record),
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
            invalid: InvalidReading::new(intern(reason), detail),
        },
        // Does not happen: the checksum was right when the record was read.
        Ok((SpoolRecord::Position(_) | SpoolRecord::Anchor { .. }, _)) | Err(_) => Next::NotYet,
    }
}

/// Gives a reason the lifetime of the program. There are few reasons; after 100 all are "other".
fn intern(reason: &str) -> &'static str {
    static REASONS: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut reasons = REASONS.lock().unwrap_or_else(PoisonError::into_inner);
    match reasons.get(reason) {
        Some(known) => known,
        None if reasons.len() >= 100 => "other",
        None => {
            let new = Box::leak(reason.to_owned().into_boxed_str());
            reasons.insert(new);
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rivulet_pipeline::WhenFull;

    use super::*;
    use crate::catalog::built_in;

    #[test]
    fn only_a_live_source_has_a_spool() {
        let (when_full, sync) = (WhenFull::DropOldest, Duration::ZERO);
        let spool = SpoolSettings {
            path: "s".into(),
            size: 1,
            when_full,
            sync,
        };
        for config in ["thermal = {}", "lines = {}"] {
            let source = ComponentConfig::parse(config).unwrap();
            read(&built_in(), &source, Some(&spool)).unwrap();
        }
        for config in [
            "list = { values = [1] }",
            "seasonal = {}",
            "simulated = {}",
            "file = { path = \"a.csv\", value = \"v\" }",
        ] {
            let source = ComponentConfig::parse(config).unwrap();
            let diagnostic = read(&built_in(), &source, Some(&spool))
                .unwrap_err()
                .to_string();
            assert!(diagnostic.contains("remove `spool`"), "{config}");
        }
    }

    #[test]
    fn a_reason_is_interned_once() {
        let again = ["not", "json"].join("-");
        assert!(std::ptr::eq(intern("not-json"), intern(&again)));
        (0..200).for_each(|n| _ = intern(&n.to_string()));
        assert_eq!(
            (intern("whatever"), intern("not-json")),
            ("other", "not-json")
        );
    }
}
