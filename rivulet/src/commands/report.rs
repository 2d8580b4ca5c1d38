//! `rivulet report`.

use std::fs;
use std::path::Path;

use indicatif::ProgressBar;
use rivulet_core::error::{Error, Result};
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_verify::Options;

use super::verification;
use crate::args::ReportArgs;
use crate::groups::ProcessTargets;
use crate::live::LiveTopics;
use crate::report::{RunReport, Verdict};
use crate::{CheckedPipeline, print};

/// How many records are read between two signs of progress.
const EVERY: u64 = 4096;

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    args: &ReportArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    signals::end_at_once(end)?;
    let targets = args
        .targets
        .as_deref()
        .map(ProcessTargets::read)
        .transpose()?;
    let topics = LiveTopics::of_pipeline(pipeline, args.sink.as_deref())?;
    let verdict = if args.no_verify {
        Verdict::Skipped
    } else {
        match verification(pipeline, Options::default()) {
            Ok(report) => Verdict::Done(report),
            Err(error) => Verdict::Failed(error.to_string()),
        }
    };
    let reading = ProgressBar::new_spinner();
    let times = (args.from.map(|bound| bound.0), args.to.map(|bound| bound.0));
    let report = RunReport::gather(
        pipeline,
        topics,
        times,
        targets.as_ref(),
        verdict,
        &mut |read| {
            if read % EVERY == 0 {
                reading.set_message(format!("{read} records"));
                reading.tick();
            }
        },
    );
    reading.finish_and_clear();
    let report = report?;
    write(&args.output, report.html().as_bytes(), "--output")?;
    if let Some(path) = &args.csv {
        write(path, &report.csv()?, "--csv")?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8], option: &str) -> Result<(), BoxError> {
    fs::write(path, bytes).map_err(|error| {
        Error::caused_by(format!("writing {}", path.display()), error)
            .or_help(format!("name another file with {option}"))
    })?;
    print::line(format_args!("wrote {}", path.display()))?;
    Ok(())
}
