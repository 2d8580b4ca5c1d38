//! `rivulet report`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;

use crate::CheckedPipeline;
use crate::args::ReportArgs;

pub(super) fn run(
    _pipeline: &CheckedPipeline<'_>,
    _args: &ReportArgs,
    _end: EndProcess,
) -> Result<(), BoxError> {
    Err("not yet".into())
}
