//! `rivulet top`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;

use crate::CheckedPipeline;
use crate::args::TopArgs;

pub(super) fn run(
    _pipeline: &CheckedPipeline<'_>,
    _args: &TopArgs,
    _end: EndProcess,
) -> Result<(), BoxError> {
    Err("not yet".into())
}
