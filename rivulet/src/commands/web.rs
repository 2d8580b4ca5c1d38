//! `rivulet web`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;

use crate::CheckedPipeline;
use crate::args::WebArgs;

pub(super) fn run(
    _pipeline: &CheckedPipeline<'_>,
    _args: &WebArgs,
    _end: EndProcess,
) -> Result<(), BoxError> {
    Err("not yet".into())
}
