//! What systemd hears of a process: [`ServiceManager`].

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use crate::{guard, wait};

/// Listens as systemd does, in its place. See `sd_notify(3)`.
#[derive(Debug)]
pub struct ServiceManager {
    folder: PathBuf,
    heard: Receiver<String>,
}

impl ServiceManager {
    /// Listens at a socket of its own.
    #[must_use]
    pub fn new() -> Self {
        let folder = guard::folder("notify");
        let socket = UnixDatagram::bind(folder.join("socket")).expect("the folder is new");
        let (tell, heard) = mpsc::channel();
        // It ends when nobody listens to it any more.
        thread::spawn(move || {
            let mut message = [0; 4096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]);
                if text.lines().any(|line| tell.send(line.to_owned()).is_err()) {
                    return;
                }
            }
        });
        ServiceManager { folder, heard }
    }

    /// Lets a program tell it how it is.
    pub fn manage(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.join("socket"));
    }

    /// Waits at most `limit` for a line that begins so, such as `READY=1`, and forgets what came
    /// before it. Returns whether it came.
    pub fn hears_within(&mut self, limit: Duration, begin: &str) -> bool {
        let heard = wait::until(limit, || {
            let mut heard = self.heard.try_iter();
            heard.any(|line| line.starts_with(begin)).then_some(())
        });
        heard.is_some()
    }

    /// Everything that it has heard and that was not asked for yet.
    pub fn heard(&mut self) -> Vec<String> {
        self.heard.try_iter().collect()
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        guard::remove(&self.folder);
    }
}
