//! The source's changelog: claimed at the start, and read after an abort.

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::exit;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{Fault, Log};
use rivulet_core::metrics::{Activity, TroubleKind};
use serde_json::Value;

use super::SourceLoop;
use super::claim::{Claim, Found, PositionRecord};

impl<L: Log> SourceLoop<L> {
    /// Resumes at the committed position, if there is one, and claims the source. Another process
    /// of the same stage ends at its next commit. `from_start` ignores the position.
    ///
    /// # Errors
    /// If the position cannot be read, or the source cannot resume there.
    pub fn resume(&mut self, from_start: bool) -> Result<()> {
        let mut resumed = None;
        self.metrics.health.enter(Activity::Restoring);
        let begun = self.log.now();
        let mut outcome = self.claim_and_resume(from_start, &mut resumed);
        while let Err(Fault::Abortable(cause) | Fault::Rejected(_, cause)) = outcome {
            self.warn_of_abort("claiming the source again", &cause);
            outcome = self
                .abort()
                .and_then(|()| self.claim_and_resume(from_start, &mut resumed));
        }
        match outcome {
            // A shutdown ends the first step.
            Ok(()) | Err(Fault::Shutdown) => {
                self.back_off.reset();
                self.warnings.clear();
                self.metrics
                    .restored_in(self.log.now().duration_since(begun));
                self.metrics.health.solved(TroubleKind::Rollback);
                self.metrics.health.enter(Activity::Running);
                Ok(())
            }
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                Err(error)
            }
        }
    }

    /// Resumes the source and commits the claim. `resumed` is the position at which the source was
    /// resumed.
    fn claim_and_resume(
        &mut self,
        from_start: bool,
        resumed: &mut Option<Value>,
    ) -> Result<(), Fault> {
        for output in &self.outputs {
            output.format.prepare().map_err(Fault::Abortable)?;
        }
        loop {
            let found = self.read_changelog()?;
            if found.own.is_some() {
                self.check_claim(found.highest.as_ref())?;
            }
            let mut is_new = false;
            if let Some(before) = found.before.filter(|_| !from_start)
                && resumed.as_ref() != Some(&before)
            {
                self.source.resume(&before).map_err(Fault::Fatal)?;
                tracing::info!(
                    "resumed at the committed position {before}; --from-start ignores it"
                );
                (*resumed, is_new) = (Some(before), true);
            }
            match found.own {
                Some(commit) if !is_new => {
                    self.commits = commit;
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    let highest = found.highest.unwrap_or_default();
                    self.claim.epoch = highest.epoch.saturating_add(1);
                    // Versions without claims leave the name empty, and so does an empty changelog.
                    let is_other = !["", &self.claim.instance].contains(&&*highest.instance);
                    self.metrics.taken_over.set(is_other.into());
                }
            }
            self.commits = found.commit;
            self.write(resumed.clone().unwrap_or_else(|| self.source.position()))?;
            self.commits += 1;
            if self.guarantee == Guarantee::ExactlyOnce {
                return Ok(());
            }
            // Without transactions nothing fences the process that is replaced. It continues until
            // it finds this claim, so this process reads the position again.
        }
    }

    /// Without transactions nothing fences a process that was replaced. Before each commit it
    /// checks whether another process has written to the changelog.
    pub(super) fn check_not_replaced(&mut self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce {
            return Ok(());
        }
        // Read before the changelog: the next check then notices records that come meanwhile.
        let end = self
            .log
            .watermarks(&self.changelog, &[0])?
            .first()
            .map(|watermarks| watermarks.high);
        if end.is_some() && self.end == end {
            return Ok(());
        }
        let found = self.read_changelog()?;
        self.end = end;
        self.check_claim(found.highest.as_ref())
    }

    /// Ends this process if another has claimed the source since. The other one may send the same
    /// readings.
    pub(super) fn check_claim(&self, highest: Option<&Claim>) -> Result<(), Fault> {
        let Some(other) = highest.filter(|other| other.rank() > self.claim.rank()) else {
            return Ok(());
        };
        let whose = match other.instance.as_str() {
            "" => "another process".to_owned(),
            instance => format!("{}@{instance}", self.name),
        };
        let doing = format!("continuing {}@{}", self.name, self.claim.instance);
        let help = "a source has one producer, and the last process to start wins: stop the \
                    process that you do not want";
        let error = Error::new(doing, format!("{whose} has taken this one's place")).help(help);
        Err(Fault::Fatal(error.exit_code(exit::REPLACED)))
    }

    pub(super) fn lost_commit(&self) -> Fault {
        let cause = format!(
            "the record of the last commit of this process is missing in {}",
            self.changelog
        );
        let help = "something else writes to the topic, or it was deleted and created again: start \
                    the stage again once the topic is restored";
        Fault::Fatal(Error::new("rolling back to the last commit", cause).help(help))
    }

    /// Reads the stage's changelog.
    pub(super) fn read_changelog(&mut self) -> Result<Found, Fault> {
        let (mut before, mut found) = (None, Found::default());
        let run = self.claim.run;
        self.log
            .restore(&self.changelog, &[0], &mut |_, _, value| {
                // Only the last position of another process has to be readable.
                let claim = value.and_then(|value| serde_json::from_slice::<Claim>(value).ok());
                let claim = claim.unwrap_or_default();
                found.commit = claim.commit;
                if claim.run == run {
                    found.own = Some(claim.commit);
                    // Older records say nothing more. Compaction can remove the last of them while
                    // this one reads, and then it would resume at one before.
                    before = None;
                } else {
                    before = value.map(<[u8]>::to_vec);
                }
                if found
                    .highest
                    .as_ref()
                    .is_none_or(|highest| highest.rank() < claim.rank())
                {
                    found.highest = Some(claim);
                }
            })?;
        let Some(before) = before else {
            return Ok(found);
        };
        let record: PositionRecord = serde_json::from_slice(&before).map_err(|error| {
            let doing = format!("reading the source's position from {}", self.changelog);
            Fault::Fatal(Error::new(doing, error).of_kind(Kind::Corrupt).help(
                "something else has written to the topic: delete it to start at the first reading",
            ))
        })?;
        found.before = Some(record.position);
        Ok(found)
    }
}
