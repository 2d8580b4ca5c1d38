//! The stage loop: poll, work, commit.
//!
//! One thread does everything. Results, state, dead letters and positions are committed together
//! when there is nothing more to read, or when enough time or work has gone by ([`CommitClock`]).
//! Whatever goes wrong before a commit is undone as a whole and done again: there is one way back,
//! and it is the same for a failed send, a lost partition and a broker that was away.

mod assignment;
mod back_off;
mod careful;
mod clock;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use self::assignment::{Assignment, gap_error};
pub use self::back_off::BackOff;
use self::careful::Careful;
pub use self::clock::CommitClock;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::log::{Event, Fault, Log, Partition, Position, Record, Rejection};
use crate::pipeline::CommitPolicy;
use crate::reminder::{Reminder, lasting};
use crate::shutdown::Shutdown;

/// What a stage does with records; the loop does the rest.
pub trait Work<L: Log> {
    /// The names of the topics that are read.
    fn inputs(&self) -> &[String];

    /// Partitions are this stage's now: restores what it must know to work on them.
    ///
    /// # Errors
    /// See [`Fault`]; fatal if the offsets are not such that it can go on.
    fn given(&mut self, log: &mut L, assignments: &[Assignment]) -> Result<(), Fault>;

    /// No partition is this stage's any more, or what it knows is no longer true: forgets
    /// everything that [`given`](Self::given) would restore, and whatever was not committed.
    fn forget(&mut self);

    /// These offsets of a partition were deleted before they were read, and the stage goes on
    /// behind them: records it.
    ///
    /// # Errors
    /// See [`Fault`].
    fn gap(&mut self, log: &L, partition: Partition, offsets: Range<i64>) -> Result<(), Fault>;

    /// Works on one record.
    ///
    /// # Errors
    /// See [`Fault`]; a bad record is not a fault but a dead letter.
    fn record(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault>;

    /// Works on one record of which the brokers have rejected what became of it, for these reasons,
    /// one for each time.
    ///
    /// # Errors
    /// See [`Fault`].
    fn rejected(
        &mut self,
        log: &L,
        record: &L::Record<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Fault>;

    /// Everything done so far is about to be committed, with these offsets to go on at: writes the
    /// state, empties buffers. `is_last`: the stage stops with this commit.
    ///
    /// # Errors
    /// See [`Fault`].
    fn before_commit(
        &mut self,
        log: &mut L,
        next: &[(Partition, i64)],
        is_last: bool,
    ) -> Result<(), Fault>;

    /// Everything done so far is committed.
    fn committed(&mut self) {}

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

/// The loop, turn by turn: [`run`] turns it to its end, a simulation turns several in its own
/// order.
#[derive(Debug)]
pub struct StageLoop<L, W> {
    log: L,
    work: W,
    shutdown: Shutdown,
    counters: Arc<Counters>,
    clock: CommitClock,
    /// The partitions that are this stage's.
    owned: Vec<Owned>,
    /// Whether the group has assigned partitions, be it none.
    is_assigned: bool,
    /// Whether partitions were revoked and the log still holds them.
    is_revoked: bool,
    back_off: BackOff,
    /// What is still to be undone.
    undo: Option<Error>,
    /// Why it went back to the last commit, until it gets on: what lasts is told more and more
    /// rarely.
    told: Reminder<Error>,
    /// The search for a record that the brokers reject.
    careful: Careful,
}

#[derive(Debug)]
struct Owned {
    partition: Partition,
    /// The next offset to read; `None` until it was asked for.
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
    pub fn new(
        log: L,
        work: W,
        policy: CommitPolicy,
        shutdown: Shutdown,
        counters: Arc<Counters>,
    ) -> Self {
        let clock = CommitClock::new(policy, log.now());
        StageLoop {
            log,
            work,
            shutdown,
            counters,
            clock,
            owned: Vec::new(),
            is_assigned: false,
            is_revoked: false,
            back_off: BackOff::new(),
            undo: None,
            told: Reminder::new(),
            careful: Careful::default(),
        }
    }

    /// Works on what there is, at most a few records; waits a moment if there is nothing.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn turn(&mut self) -> Result<Turn> {
        let is_undoing = self.undo.is_some();
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
            Err(Fault::Rejected(why, cause)) => {
                let uncommitted = self.owned.iter().filter(|owned| !owned.committed);
                let next = uncommitted.filter_map(|owned| Some((owned.partition, owned.next?)));
                self.careful.rejected(why, next, &cause)?;
                self.undo = Some(cause);
                Ok(Turn::GoOn)
            }
            Err(Fault::Stopped) => {
                if is_undoing || self.clock.is_open() {
                    self.shutdown.leave_undone();
                }
                Ok(Turn::Done)
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    fn read_and_commit(&mut self) -> Result<Turn, Fault> {
        if self.shutdown.is_stopping() {
            return self.end();
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
        let (partition, offset) = match self.log.poll(wait)? {
            Event::Record(record) => {
                let incoming = record.incoming();
                let (partition, offset) = (incoming.partition(), incoming.offset);
                // Records come in runs of one partition, and there are few: a search beats a map.
                let owned = self.owned.iter().find(|owned| owned.partition == partition);
                let next = owned.and_then(|owned| owned.next);
                if next.is_none_or(|next| next > offset) {
                    return Err(out_of_order(
                        &self.work.inputs()[partition.topic],
                        partition,
                        offset,
                    ));
                }
                self.counters.read.add(1);
                match self.careful.begin(partition, offset) {
                    None => self.work.record(&self.log, &record)?,
                    Some(rejections) => self.work.rejected(&self.log, &record, rejections)?,
                }
                (partition, offset)
            }
            Event::Given(partitions) => return Ok(Seen::Given(partitions)),
            Event::Taken { lost } => return Ok(Seen::Taken { lost }),
            Event::Nothing => return Ok(Seen::Nothing),
        };
        self.clock.worked();
        if let Some(owned) = self
            .owned
            .iter_mut()
            .find(|owned| owned.partition == partition)
        {
            (owned.next, owned.committed) = (Some(offset + 1), false);
        }
        if self.careful.is_on() {
            self.log.settle()?;
        }
        Ok(Seen::Record)
    }

    /// Nothing came for a while.
    fn idle(&mut self) -> Result<Turn, Fault> {
        if self.clock.is_due_when_drained(self.log.now()) {
            self.commit()?;
        }
        self.work.idle()?;
        if !self.shutdown.is_draining() || self.clock.is_open() || !self.is_assigned {
            return Ok(Turn::GoOn);
        }
        let positions: Vec<_> = self
            .owned
            .iter()
            .map(|owned| (owned.partition, owned.next))
            .collect();
        if self.owned.is_empty() || self.log.at_end(&positions)? {
            self.end()
        } else {
            Ok(Turn::GoOn)
        }
    }

    /// Commits what is done and what the stage leaves behind for the next start.
    fn end(&mut self) -> Result<Turn, Fault> {
        let is_open = self.clock.is_open();
        if is_open || !self.owned.is_empty() {
            match self.commit_all(true) {
                // Nothing is left undone: the next start only knows a little less.
                Err(Fault::Undo(_) | Fault::Rejected(..)) if !is_open => (),
                ended => ended?,
            }
        }
        Ok(Turn::Done)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        if self.clock.is_open() {
            self.commit_all(false)
        } else {
            Ok(())
        }
    }

    fn commit_all(&mut self, is_last: bool) -> Result<(), Fault> {
        let uncommitted = self
            .owned
            .iter()
            .filter(|owned| is_last || !owned.committed);
        let next: Vec<_> = uncommitted
            .filter_map(|owned| Some((owned.partition, owned.next?)))
            .collect();
        let sent = self.work.before_commit(&mut self.log, &next, is_last);
        sent.and_then(|()| {
            let position = |(partition, next): &(Partition, i64)| Position {
                partition: *partition,
                next: *next,
                note: self.work.note(*partition),
            };
            let positions: Vec<Position> = next.iter().map(position).collect();
            self.log.commit(&positions)
        })
        .map_err(|fault| self.careful.outside_of_records(fault))?;
        for owned in &mut self.owned {
            owned.committed = true;
        }
        self.work.committed();
        self.careful.committed(&next);
        self.counters.commits.add(1);
        self.clock.committed(self.log.now());
        self.back_off.reset();
        self.told.clear();
        Ok(())
    }

    /// Restores what the owned partitions need and starts reading them.
    fn take_over(&mut self) -> Result<(), Fault> {
        let partitions: Vec<Partition> = self.owned.iter().map(|owned| owned.partition).collect();
        self.work.forget();
        let assignments = assignment::look_up(&mut self.log, self.work.inputs(), &partitions)?;
        self.work.given(&mut self.log, &assignments)?;
        let owned = |assignment: &Assignment| Owned {
            partition: assignment.partition,
            next: Some(assignment.next()),
            committed: assignment.gap().is_none() && assignment.committed.is_some(),
        };
        self.owned = assignments.iter().map(owned).collect();
        for assignment in &assignments {
            if let Some(gap) = assignment.gap() {
                self.work.gap(&self.log, assignment.partition, gap)?;
            }
        }
        // An offset that is there before the first record is read tells a first start from an
        // offset that Kafka has forgotten.
        if self.owned.iter().any(|owned| !owned.committed) {
            self.commit_all(false)?;
        }
        let from = self
            .owned
            .iter()
            .filter_map(|owned| Some((owned.partition, owned.next?)));
        self.log.assign(&from.collect::<Vec<_>>())
    }

    /// Commits while the partitions are still this stage's, and lets go of them.
    fn give_up(&mut self, lost: bool) -> Result<(), Fault> {
        self.is_revoked = true;
        let committed = if lost && self.clock.is_open() {
            Err(Fault::Undo(Error::new(
                "committing",
                "the group has given the partitions to another member",
            )))
        } else {
            self.commit()
        };
        self.owned.clear();
        self.careful.keep(&[]);
        self.is_assigned = false;
        match committed {
            Err(Fault::Undo(cause) | Fault::Rejected(_, cause)) => self.discard(&cause)?,
            committed => committed?,
        }
        self.let_go()
    }

    fn let_go(&mut self) -> Result<(), Fault> {
        self.work.forget();
        self.log.release()?;
        self.is_revoked = false;
        Ok(())
    }

    /// Goes back to the last commit and on from there.
    fn undo(&mut self, cause: &Error) -> Result<(), Fault> {
        self.discard(cause)?;
        if self.is_revoked {
            return self.let_go();
        }
        // However often this fails, the group is heard: it may wait for this member, or have done
        // with it, which can take several events to tell.
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
        let owned = |partition| Owned {
            partition,
            next: None,
            committed: true,
        };
        self.careful.keep(&partitions);
        self.owned = partitions.into_iter().map(owned).collect();
        self.is_assigned = true;
    }

    fn discard(&mut self, cause: &Error) -> Result<(), Fault> {
        match self.told.due(cause, self.log.now()) {
            Some(lasted) => {
                tracing::warn!("going back to the last commit{}: {cause}", lasting(lasted))
            }
            None => tracing::debug!("going back to the last commit: {cause}"),
        }
        self.counters.rewinds.add(1);
        self.careful.rolled_back();
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.log.rewind()?;
        self.clock.committed(self.log.now());
        for owned in &mut self.owned {
            (owned.next, owned.committed) = (None, true);
        }
        Ok(())
    }
}

/// What neither Kafka nor librdkafka ever does; on such records no result could be right.
fn out_of_order(topic: &str, Partition { partition, .. }: Partition, offset: i64) -> Fault {
    let doing = format!("reading {topic} [{partition}]");
    Fault::Fatal(Error::new(
        doing,
        format!("offset {offset} came, which is not to be read here and now"),
    ))
}
