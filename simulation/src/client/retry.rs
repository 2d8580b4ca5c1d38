//! Steps that other processes and faults come between, and tries that are repeated.

use std::time::Duration;

use rivulet_core::log::Fault;

use super::{RETRY_PAUSE, SimulatedLog, abortable};
use crate::cluster::{BrokerError, Cluster};

impl SimulatedLog {
    pub(super) fn step(&self, doing: &'static str) -> Result<(), Fault> {
        self.world.step(&self.process, doing)
    }

    pub(super) fn wait(&self, time: Duration) -> Result<(), Fault> {
        self.world.idle(time);
        self.shutdown.check()?;
        self.step("wait")
    }

    /// Waits until the brokers are reachable.
    pub(super) fn wait_until_reachable(&self) -> Result<(), Fault> {
        while !self.world.cluster().is_reachable() {
            self.wait(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Sends a request until it succeeds or fails for good.
    pub(super) fn retry<T>(
        &self,
        doing: &'static str,
        ask: impl Fn(&mut Cluster) -> Result<T, BrokerError>,
    ) -> Result<T, Fault> {
        self.answer(doing, ask)?
            .map_err(|error| abortable(doing, error))
    }

    /// The same, but an error of the broker is returned apart from a fault of the process.
    pub(super) fn answer<T>(
        &self,
        doing: &'static str,
        ask: impl Fn(&mut Cluster) -> Result<T, BrokerError>,
    ) -> Result<Result<T, BrokerError>, Fault> {
        loop {
            self.step(doing)?;
            self.wait_until_reachable()?;
            let answer = ask(&mut self.world.cluster());
            match answer {
                Err(BrokerError::ConcurrentTransactions | BrokerError::UnstableOffsetCommit) => {
                    self.wait(RETRY_PAUSE)?;
                }
                answer => return Ok(answer),
            }
        }
    }
}
