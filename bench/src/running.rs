//! A process that runs for as long as it is measured: [`Running`].

use std::io;
use std::process::{Child, Command};

use rivulet_tests::guard;

/// A process that is killed when this is dropped, or when the bench is interrupted.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts it.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        guard::watch(child.id());
        Ok(Running(child))
    }

    /// Fails if it has ended by itself.
    #[allow(dead_code, reason = "not all programs of this package ask")]
    pub(crate) fn check(&mut self) -> Result<(), String> {
        match self.0.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("a process that is measured ended: {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        guard::forget(self.0.id());
    }
}
