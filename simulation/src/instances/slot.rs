//! A place for a process, which may die and restart.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::processing::Processing;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{StageLoop, Step};
use rivulet_producer::source_loop::SourceLoop;

use crate::client::SimulatedLog;
use crate::world::SimulatedProcess;

/// A place for a process, which may die and restart.
pub(super) struct Slot {
    pub(super) stage: usize,
    pub(super) instance: String,
    pub(super) state: SlotState,
    pub(super) shutdown: Shutdown,
    /// Whether it is shutting down, to restart later.
    pub(super) is_stopping: bool,
    /// Whether it processes what is left, and ends.
    pub(super) is_draining: bool,
    /// Whether it is not in the plan, and never restarts.
    pub(super) is_extra: bool,
    /// Away until then.
    pub(super) away: Option<Duration>,
}

pub(super) enum SlotState {
    /// Starts at this time.
    Starting(Duration),
    Running(Box<Running>),
    /// Paused within a step.
    InStep,
    Done,
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotState::Starting(start) => write!(f, "starts at {:.3} s", start.as_secs_f64()),
            SlotState::Running(_) => f.write_str("runs"),
            SlotState::InStep => f.write_str("is paused"),
            SlotState::Done => f.write_str("has ended"),
        }
    }
}

pub(super) struct Running {
    pub(super) process: Rc<SimulatedProcess>,
    pub(super) run: Loop,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there are ten at most, and none is moved often"
)]
pub(super) enum Loop {
    Source(SourceLoop<SimulatedLog>),
    Stage(StageLoop<SimulatedLog, Processing>),
}

impl Loop {
    pub(super) fn step(&mut self) -> Result<Step, Error> {
        match self {
            Loop::Source(source) => source.step(&mut |_| ()),
            Loop::Stage(stage) => stage.step(),
        }
    }
}

pub(super) fn slot(stage: usize, instance: String, is_extra: bool, start: Duration) -> Slot {
    Slot {
        stage,
        instance,
        state: SlotState::Starting(start),
        shutdown: Shutdown::new(),
        is_stopping: false,
        is_draining: false,
        is_extra,
        away: None,
    }
}
