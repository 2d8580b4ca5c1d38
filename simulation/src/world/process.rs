//! A process of the simulated world.

use std::cell::{Cell, RefCell};

use crate::faults::FaultKind;

/// The other processes, which run while one waits.
pub trait OtherProcesses {
    /// Runs `steps` steps of them.
    fn run(&self, steps: u32);

    /// Starts or stops processes. False if it cannot.
    fn change_processes(&self, kind: FaultKind) -> bool;

    /// Changes topics. False if it cannot.
    fn change_topics(&self, kind: FaultKind) -> bool;
}

/// What the world knows of a process.
#[derive(Debug, Default)]
pub struct SimulatedProcess {
    /// `STAGE@INSTANCE #NUMBER`.
    pub name: String,
    /// Its group and its member id.
    pub member: RefCell<Option<(String, u64)>>,
    /// Whether it died.
    pub is_dead: Cell<bool>,
}

/// What happens to a commit request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It succeeds, and the response arrives.
    Answered,
    /// It never arrives.
    Lost,
    /// It arrives after its sender has stopped waiting for it.
    Late,
    /// It succeeds, but the response is lost.
    AnswerLost,
    /// It is sent twice. The second copy is answered, and the first arrives later.
    Repeated,
}
