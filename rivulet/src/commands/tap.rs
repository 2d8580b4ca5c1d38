//! `rivulet tap`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;

use crate::CheckedPipeline;
use crate::args::TapArgs;

pub(super) fn run(
    _pipeline: &CheckedPipeline<'_>,
    _args: &TapArgs,
    _end: EndProcess,
) -> Result<(), BoxError> {
    Err("not yet".into())
}
