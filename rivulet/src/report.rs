//! A run as one file: what was compared, how it was verified, and how its stages were.
//!
//! [`RunReport::gather`] reads the topics to their ends, [`RunReport::html`] makes one page of it
//! that needs nothing else, and [`RunReport::csv`] has the comparison for a spreadsheet.

mod chart;
mod figures;
mod page;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::Format;
use rivulet_kafka::{OwnedRecord, ReadFrom, Tail};
use rivulet_verify::Report;

use crate::CheckedPipeline;
use crate::dlq::{DeadLetterQuery, DlqListing, Selection};
use crate::graph;
use crate::groups::ProcessTargets;
use crate::live::{LiveReadings, LiveTopics, PipelineFigures, figures_now};

/// How long to wait for a record until the end is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long no record may arrive before that is an error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Everything that a report says.
#[derive(Debug)]
pub struct RunReport<'p> {
    /// The name of the pipeline file.
    file: String,
    /// The text of it.
    text: &'p str,
    /// The pipeline, drawn.
    graph: String,
    brokers: &'p str,
    guarantee: &'static str,
    /// When it was made: RFC 3339.
    made: String,
    /// Only records with timestamps from here on, in milliseconds since the epoch.
    from: Option<i64>,
    /// Only records with timestamps before that.
    to: Option<i64>,
    readings: LiveReadings,
    /// How many records were read.
    read: u64,
    /// The timestamps of the first record and of the last one.
    entered: Option<(i64, i64)>,
    figures: PipelineFigures,
    dead_letters: DlqListing,
    verdict: Verdict,
}

/// What a verification said.
#[derive(Debug)]
pub enum Verdict {
    /// Nobody asked for one.
    Skipped,
    /// Why it could not be done.
    Failed(String),
    /// What each topic holds, compared with what it must hold.
    Done(Report),
}

impl<'p> RunReport<'p> {
    /// Reads the topics that are compared to their ends, asks for dead letters, groups and
    /// processes, and takes what a verification said. `progress` is told how many records were
    /// read.
    ///
    /// # Errors
    /// If a topic does not exist, or the brokers are unreachable.
    pub fn gather(
        pipeline: &'p CheckedPipeline<'p>,
        topics: LiveTopics,
        (from, to): (Option<i64>, Option<i64>),
        targets: Option<&ProcessTargets>,
        verdict: Verdict,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self> {
        let mut report = RunReport {
            file: pipeline.file_name(),
            text: &pipeline.text.text,
            graph: graph::draw(pipeline),
            brokers: pipeline.brokers(),
            guarantee: pipeline.guarantee.name(),
            made: format!("{:.0}", Timestamp::now()),
            from,
            to,
            readings: LiveReadings::new(topics.topics, topics.comparison),
            read: 0,
            entered: None,
            figures: figures_now(pipeline, targets),
            dead_letters: dead_letters(pipeline)?,
            verdict,
        };
        report.read_topics(pipeline, &topics.formats, progress)?;
        Ok(report)
    }

    /// The report as one HTML page.
    #[must_use]
    pub fn html(&self) -> String {
        page::page(self)
    }

    /// The comparison as CSV, a line for each sensor.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn csv(&self) -> Result<Vec<u8>> {
        figures::csv(&self.readings)
    }

    fn read_topics(
        &mut self,
        pipeline: &CheckedPipeline<'_>,
        formats: &[Box<dyn Format>],
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let topics = self.readings.topics().iter();
        let topics: Vec<String> = topics.map(|topic| topic.in_kafka.clone()).collect();
        let mut tail = Tail::new(&pipeline.connection(), &topics, ReadFrom::Now)?;
        let mut last = Instant::now();
        while !tail.is_done() {
            // Behind the last record there may be only transaction markers.
            let Some(record) = tail.next(TICK)? else {
                if last.elapsed() < TIMEOUT {
                    continue;
                }
                let cause = format!("no record arrived for {} s", TIMEOUT.as_secs());
                return Err(Error::new(format!("reading {}", topics.join(", ")), cause)
                    .of_kind(Kind::Unreachable)
                    .help("are all brokers running?"));
            };
            last = Instant::now();
            self.take(&record, formats)?;
            progress(self.read);
        }
        Ok(())
    }

    fn take(&mut self, record: &OwnedRecord, formats: &[Box<dyn Format>]) -> Result<()> {
        let record = record.fields();
        let is_before = self.from.is_some_and(|from| record.timestamp < from);
        if is_before || self.to.is_some_and(|to| record.timestamp >= to) {
            return Ok(());
        }
        self.readings.take(&record, &*formats[record.topic])?;
        self.read += 1;
        let (first, last) = self.entered.unwrap_or((record.timestamp, record.timestamp));
        self.entered = Some((first.min(record.timestamp), last.max(record.timestamp)));
        Ok(())
    }
}

fn dead_letters(pipeline: &CheckedPipeline<'_>) -> Result<DlqListing> {
    let query = DeadLetterQuery::new(pipeline, None, Selection::default());
    let query = query.map_err(|wrong| Error::new("looking for dead letters", wrong))?;
    match query.list(&mut |_| ()) {
        // Whoever creates no dead-letter topics has no dead letters.
        Err(error) if error.kind() == Kind::Missing => Ok(DlqListing::default()),
        listed => listed,
    }
}
