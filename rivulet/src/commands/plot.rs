//! `rivulet plot`.

use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::BoxError;

use crate::Target;
use crate::args::PlotArgs;

pub(super) fn run(
    _args: &PlotArgs,
    _target: &Target<'_>,
    _end: EndProcess,
) -> Result<(), BoxError> {
    Err("not yet".into())
}
