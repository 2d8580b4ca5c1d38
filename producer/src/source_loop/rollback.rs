//! Going back to the last commit, and sending again what was not committed.

use rivulet_core::error::{Error, Result};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{Fault, Log};
use rivulet_core::metrics::Activity;
use rivulet_core::reminder::lasting;

use super::SourceLoop;

impl<L: Log> SourceLoop<L> {
    /// Aborts the transaction, and sends and commits the pending records again, unless the failed
    /// commit went through nevertheless. `is_rejected`: the brokers reject one of the records.
    pub(super) fn abort_and_resend(
        &mut self,
        cause: &Error,
        is_rejected: bool,
    ) -> Result<(), Fault> {
        self.warn_of_abort("sending again", cause);
        self.metrics.health.enter(Activity::RollingBack);
        self.abort()?;
        let found = self.read_changelog()?;
        self.check_claim(found.highest.as_ref())?;
        match found.own {
            Some(commit) if commit == self.commits + 1 => {
                self.committed();
                return Ok(());
            }
            Some(commit) if commit == self.commits => {}
            // A late record of a process that was replaced may have compacted this one's away.
            _ if self.guarantee == Guarantee::AtLeastOnce => {}
            _ => return Err(self.lost_commit()),
        }
        self.dead_letters.rolled_back();
        if is_rejected {
            self.send_one_by_one()?;
        } else {
            self.send(0..self.pending.records.len())?;
        }
        self.commit()
    }

    /// Logs why the transaction is aborted, and what comes next.
    pub(super) fn warn_of_abort(&mut self, next: &str, cause: &Error) {
        self.metrics.rolled_back(cause);
        match self.warnings.due(cause, self.log.now()) {
            Some(lasted) => {
                let lasted = lasting(lasted);
                tracing::warn!("transaction aborted, {next}{lasted}: {cause}");
            }
            None => tracing::debug!("transaction aborted, {next}: {cause}"),
        }
    }

    /// Backs off and aborts the transaction.
    pub(super) fn abort(&mut self) -> Result<(), Fault> {
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.end = None;
        self.log.abort()
    }
}
