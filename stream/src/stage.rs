//! The stage loop: poll, work, commit.
//!
//! One thread does everything. Results, state, dead letters and positions are committed together
//! when there is nothing more to read, or when enough time or work has gone by ([`CommitClock`]).
//! Whatever goes wrong before a commit is undone as a whole and done again: there is one way back,
//! and it is the same for a failed send, a lost partition and a broker that was away.

mod back_off;
mod clock;

use std::sync::Arc;
use std::time::Duration;

pub use self::back_off::BackOff;
pub use self::clock::CommitClock;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::log::{Event, Fault, Log, Partition, Position, Record};
use crate::pipeline::CommitPolicy;
use crate::shutdown::Shutdown;

/// What a stage does with records; the loop does the rest.
pub trait Work<L: Log> {
    /// Partitions are this stage's now: restores what it must know to work on them.
    ///
    /// # Errors
    /// See [`Fault`].
    fn given(&mut self, log: &mut L, partitions: &[Partition]) -> Result<(), Fault>;

    /// No partition is this stage's any more, or what it knows is no longer true: forgets everything
    /// that [`given`](Self::given) would restore.
    fn forget(&mut self);

    /// Works on one record.
    ///
    /// # Errors
    /// See [`Fault`]; a bad record is not a fault but a dead letter.
    fn record(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault>;

    /// Everything done so far is about to be committed: writes the state, empties buffers.
    ///
    /// # Errors
    /// See [`Fault`].
    fn before_commit(&mut self, log: &mut L) -> Result<(), Fault>;

    /// What to note beside the position in a partition: see [`Position::note`].
    fn note(&self, partition: Partition) -> String {
        let _ = partition;
        String::new()
    }

    /// Called several times a second while nothing arrives.
    ///
    /// # Errors
    /// See [`Fault`].
    fn idle(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The longest wait for a record, so that a stop is noticed soon.
const LONGEST_POLL: Duration = Duration::from_millis(100);
/// How often, and how long each time, the group is listened to on the way back to the last commit.
const LISTEN: u32 = 5;
const LISTEN_POLL: Duration = Duration::from_millis(10);
/// How many records are worked on between two looks at the clock and at the shutdown.
const STRIDE: u64 = 64;

/// Runs a stage until it is asked to stop, or to drain and there is nothing left to read; gives its
/// work back.
///
/// # Errors
/// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
pub fn run<L: Log, W: Work<L>>(
    log: L,
    work: W,
    policy: CommitPolicy,
    shutdown: &Shutdown,
    counters: &Arc<Counters>,
) -> Result<W> {
    let mut stage = StageLoop::new(log, work, policy, shutdown.clone(), counters.clone());
    while stage.turn()? == Turn::GoOn {}
    Ok(stage.work)
}

/// The loop, turn by turn: [`run`] turns it to its end, a simulation turns several in its own order.
#[derive(Debug)]
pub struct StageLoop<L, W> {
    log: L,
    work: W,
    shutdown: Shutdown,
    counters: Arc<Counters>,
    clock: CommitClock,
    /// The partitions that are this stage's, each with the offset to go on from once there is one.
    owned: Vec<Owned>,
    back_off: BackOff,
    /// What is still to be undone.
    undo: Option<Error>,
    /// Why it went back to the last commit, until it gets on: what fails again and again is told once.
    told: Option<Error>,
}

#[derive(Debug)]
struct Owned {
    partition: Partition,
    /// The next offset to read, if anything was read since the partition was given.
    next: Option<i64>,
    /// Whether that offset has been committed.
    committed: bool,
}

/// Whether there is another turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There is.
    GoOn,
    /// The stage has come to its end.
    Done,
}

/// An event after the work on it, free of the log.
enum Seen {
    Record,
    Nothing,
    Given(Vec<Partition>),
    Taken { lost: bool },
}

impl<L: Log, W: Work<L>> StageLoop<L, W> {
    /// A stage that owns nothing yet.
    #[must_use]
    pub fn new(log: L, work: W, policy: CommitPolicy, shutdown: Shutdown, counters: Arc<Counters>) -> Self {
        let clock = CommitClock::new(policy, log.now());
        StageLoop {
            log,
            work,
            shutdown,
            counters,
            clock,
            owned: Vec::new(),
            back_off: BackOff::new(),
            undo: None,
            told: None,
        }
    }

    /// Works on what there is, at most a few records; waits a moment if there is nothing.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn turn(&mut self) -> Result<Turn> {
        let outcome = match self.undo.take() {
            None => self.read_and_commit(),
            Some(cause) => self.undo(&cause).map(|()| Turn::GoOn),
        };
        match outcome {
            Ok(turn) => Ok(turn),
            Err(Fault::Undo(cause)) => {
                self.undo = Some(cause);
                Ok(Turn::GoOn)
            }
            Err(Fault::Stopped) => Ok(Turn::Done),
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    fn read_and_commit(&mut self) -> Result<Turn, Fault> {
        if self.shutdown.is_stopping() {
            self.commit()?;
            return Ok(Turn::Done);
        }
        // Only a poll without waiting tells that everything has been read.
        let mut wait = Duration::ZERO;
        for _ in 0..STRIDE {
            match self.look(wait)? {
                Seen::Record if self.clock.is_full() => break,
                Seen::Record => wait = Duration::ZERO,
                Seen::Nothing if wait > Duration::ZERO => return self.idle(),
                Seen::Nothing => {
                    if self.clock.is_due_when_drained(self.log.now()) {
                        self.commit()?;
                    }
                    wait = self.clock.wait(self.log.now()).min(LONGEST_POLL);
                }
                Seen::Given(partitions) => {
                    self.own(partitions);
                    self.take_over()?;
                }
                Seen::Taken { lost } => self.give_up(lost)?,
            }
        }
        if self.clock.is_due(self.log.now()) {
            self.commit()?;
        }
        Ok(Turn::GoOn)
    }

    /// Polls once and works on the record, if there is one.
    fn look(&mut self, wait: Duration) -> Result<Seen, Fault> {
        Ok(match self.log.poll(wait)? {
            Event::Record(record) => {
                let incoming = record.incoming();
                let (partition, next) = (incoming.partition(), incoming.offset + 1);
                self.counters.read.add(1);
                self.work.record(&self.log, &record)?;
                self.clock.worked();
                // Records come in runs of one partition, and there are few: a search beats a map.
                if let Some(owned) = self.owned.iter_mut().find(|owned| owned.partition == partition) {
                    (owned.next, owned.committed) = (Some(next), false);
                }
                Seen::Record
            }
            Event::Given(partitions) => Seen::Given(partitions),
            Event::Taken { lost } => Seen::Taken { lost },
            Event::Nothing => Seen::Nothing,
        })
    }

    /// Nothing came for a while.
    fn idle(&mut self) -> Result<Turn, Fault> {
        if self.clock.is_due_when_drained(self.log.now()) {
            self.commit()?;
        }
        self.work.idle()?;
        if !self.shutdown.is_draining() || self.clock.is_open() || self.owned.is_empty() {
            return Ok(Turn::GoOn);
        }
        let positions: Vec<_> = self.owned.iter().map(|owned| (owned.partition, owned.next)).collect();
        Ok(if self.log.at_end(&positions)? { Turn::Done } else { Turn::GoOn })
    }

    fn commit(&mut self) -> Result<(), Fault> {
        if !self.clock.is_open() {
            return Ok(());
        }
        self.work.before_commit(&mut self.log)?;
        let uncommitted = self.owned.iter().filter(|owned| !owned.committed);
        let position = |Owned { partition, next, .. }: &Owned| {
            next.map(|next| Position { partition: *partition, next, note: self.work.note(*partition) })
        };
        let positions: Vec<Position> = uncommitted.filter_map(position).collect();
        self.log.commit(&positions)?;
        for owned in &mut self.owned {
            owned.committed = true;
        }
        self.counters.commits.add(1);
        self.clock.committed(self.log.now());
        self.back_off.reset();
        self.told = None;
        Ok(())
    }

    /// Restores what the owned partitions need and starts reading them.
    fn take_over(&mut self) -> Result<(), Fault> {
        let partitions: Vec<Partition> = self.owned.iter().map(|owned| owned.partition).collect();
        self.work.forget();
        self.work.given(&mut self.log, &partitions)?;
        self.log.assign(&partitions)
    }

    /// Commits while the partitions are still this stage's, and lets go of them.
    fn give_up(&mut self, lost: bool) -> Result<(), Fault> {
        let committed = if lost && self.clock.is_open() {
            Err(Fault::Undo(Error::new("committing", "the group has given the partitions to another member")))
        } else {
            self.commit()
        };
        match committed {
            Err(Fault::Undo(cause)) => self.discard(&cause)?,
            committed => committed?,
        }
        self.owned.clear();
        self.work.forget();
        self.log.release()
    }

    /// Goes back to the last commit and on from there.
    fn undo(&mut self, cause: &Error) -> Result<(), Fault> {
        self.discard(cause)?;
        // However often this fails, the group is heard: it may wait for this member, or have done with it,
        // which can take several events to tell.
        for _ in 0..LISTEN {
            let seen = match self.log.poll(LISTEN_POLL)? {
                Event::Given(partitions) => Seen::Given(partitions),
                Event::Taken { lost } => Seen::Taken { lost },
                // Nothing is read before the partitions are assigned again.
                Event::Record(_) | Event::Nothing => Seen::Nothing,
            };
            match seen {
                Seen::Given(partitions) => self.own(partitions),
                Seen::Taken { lost } => return self.give_up(lost),
                Seen::Record | Seen::Nothing => {}
            }
        }
        self.take_over()
    }

    fn own(&mut self, partitions: Vec<Partition>) {
        let owned = |partition| Owned { partition, next: None, committed: true };
        self.owned = partitions.into_iter().map(owned).collect();
    }

    fn discard(&mut self, cause: &Error) -> Result<(), Fault> {
        if self.told.as_ref() == Some(cause) {
            tracing::debug!("going back to the last commit: {cause}");
        } else {
            tracing::warn!("going back to the last commit: {cause}");
            self.told = Some(cause.clone());
        }
        self.counters.rewinds.add(1);
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.log.rewind()?;
        self.clock.committed(self.log.now());
        for owned in &mut self.owned {
            (owned.next, owned.committed) = (None, true);
        }
        Ok(())
    }
}
