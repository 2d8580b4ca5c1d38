//! A process at full speed, with all of its work before it: [`measure`].

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_tests::{Signal, send};

use crate::committed::GroupProgress;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::running::Running;
use crate::subject::Subject;
use crate::table::Column;

/// The columns of its tables.
pub(crate) const COLUMNS: &[Column] = &[
    ("cpu", "CPU µs a record", 2),
    ("rate", "thousand records/s", 0),
    ("memory", "peak MB", 1),
];

/// Longer than any run.
const DEADLINE: Duration = Duration::from_mins(5);
/// One of so many records comes before the others.
const PRIMER: u64 = 50;
const LOOK: Duration = Duration::from_millis(5);

/// How long a run takes with so many records, in seconds.
pub(crate) fn seconds(subject: &Subject, records: u64) -> f64 {
    let records = records as f64;
    // Its start, and the pace of the slowest that is measured with so many.
    let (start, rate) = match subject.name.as_str() {
        "kafka-streams" => (5.0, 120e3),
        "franz-go" => (1.0, 200e3),
        "confluent-kafka" => (2.0, 40e3),
        "quix-streams" => (5.0, 10e3),
        _ => (0.5, 400e3),
    };
    // They are sent, and read once more to verify them.
    1.5 + start + records / rate + records / 300e3
}

/// Measures a process that reads so many records, until all are committed. `fill` sends those with
/// these numbers.
pub(crate) fn measure(
    running: &mut Running,
    progress: &GroupProgress,
    records: u64,
    fill: impl Fn(Range<u64>) -> Outcome<()>,
) -> Outcome<Vec<(&'static str, f64)>> {
    let process = Observed { id: running.0.id() };
    let start = Instant::now();
    let mut until = |least: u64| -> Outcome<()> {
        loop {
            let committed = progress.committed()?;
            if committed >= least {
                return Ok(());
            }
            running.check()?;
            if start.elapsed() > DEADLINE {
                return Err(format!("it has committed {committed} of {least}").into());
            }
            thread::sleep(LOOK);
        }
    };
    // Its start is not measured, which is a part of `idle`. So it first does a few records. Then it
    // stands still until all the others are there.
    let primer = records / PRIMER;
    fill(0..primer)?;
    until(primer)?;
    send(process.id, Signal::Stop);
    fill(primer..records)?;
    let (cpu, begun) = (process.cpu()?, Instant::now());
    send(process.id, Signal::Continue);
    until(records)?;
    let measured = (records - primer) as f64;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process.cpu()?.saturating_sub(cpu).as_secs_f64();
    Ok(vec![
        ("cpu", cpu * 1e6 / measured),
        ("rate", measured / seconds / 1e3),
        ("memory", process.peak_memory()?),
    ])
}
