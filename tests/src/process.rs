//! A process: a program under test, with all its output.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rivulet_core::error::exit_codes;

use crate::{guard, wait};

/// A signal for a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`: asks it to shut down.
    Terminate,
    /// `SIGINT`: Ctrl-C.
    Interrupt,
    /// `SIGKILL`: ends it at once.
    Kill,
    /// `SIGSTOP`: freezes it.
    Stop,
    /// `SIGCONT`: thaws it.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        }
    }
}

/// Sends a signal to a child process that was not waited for.
pub fn send(pid: u32, signal: Signal) {
    // The shell's own `kill` is there even if no `kill` program is installed.
    let sent = Command::new("sh")
        .args([
            "-c",
            "kill -s \"$1\" \"$2\"",
            "kill",
            signal.name(),
            &pid.to_string(),
        ])
        .status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "sending {signal:?} to {pid}"
    );
}

/// A program that runs or has ended. It is killed on drop. If the test has failed, it then prints
/// its output.
#[derive(Debug)]
pub struct Process {
    title: String,
    child: Child,
    started: Instant,
    status: Option<ExitStatus>,
    out: Stream,
    err: Stream,
}

impl Process {
    /// Starts a program. `title` is its name in messages.
    #[must_use]
    pub fn start(title: impl Into<String>, command: &mut Command) -> Self {
        Self::start_onto(title, command, Stdio::piped())
    }

    /// Starts a program whose standard output goes elsewhere.
    #[must_use]
    pub fn start_onto(
        title: impl Into<String>,
        command: &mut Command,
        out: impl Into<Stdio>,
    ) -> Self {
        let title = title.into();
        let mut child = command
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("starting {title} ({command:?}): {error}"));
        guard::watch(child.id());
        let out = child.stdout.take().map(Stream::read).unwrap_or_default();
        let err = Stream::read(child.stderr.take().expect("it is piped"));
        Process {
            title,
            child,
            started: Instant::now(),
            status: None,
            out,
            err,
        }
    }

    /// Its standard output so far.
    #[must_use]
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// Its standard error so far.
    #[must_use]
    pub fn err(&self) -> String {
        self.err.text()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        if self.status.is_none()
            && let Some(status) = self.child.try_wait().expect("it is a child process")
        {
            self.ended(status);
        }
        self.status.is_none()
    }

    /// Sends it a signal.
    pub fn signal(&mut self, signal: Signal) {
        assert!(
            self.is_running(),
            "{} has ended before it could be sent {signal:?}: {}",
            self.title,
            self.report()
        );
        send(self.child.id(), signal);
    }

    /// Kills it, as a power cut does.
    pub fn kill(&mut self) {
        assert!(
            self.is_running(),
            "{} has ended before it could be killed: {}",
            self.title,
            self.report()
        );
        self.end();
    }

    /// Waits until it ends, at most `limit`, and returns its exit status.
    pub fn ends_within(&mut self, limit: Duration) -> i32 {
        let ended = wait::until(limit, || (!self.is_running()).then_some(()));
        assert!(
            ended.is_some(),
            "{} should have ended within {limit:?}: {}",
            self.title,
            self.report()
        );
        self.status
            .and_then(|status| status.code())
            .unwrap_or_else(|| panic!("{} was killed", self.title))
    }

    /// Waits until it ends, with exit status 0.
    pub fn succeeds(&mut self) {
        let code = self.ends_within(wait::LONG);
        assert_eq!(code, 0, "{}'s exit status: {}", self.title, self.report());
    }

    /// Waits until it ends with the exit status of an error, and returns its standard error.
    pub fn fails(&mut self) -> String {
        let code = self.ends_within(wait::LONG);
        let is_of_an_error = exit_codes()
            .iter()
            .any(|(known, _)| code == i32::from(*known) && code != 0);
        assert!(
            is_of_an_error,
            "{}'s exit status {code}: {}",
            self.title,
            self.report()
        );
        self.err()
    }

    /// Waits until it ends with this exit status, and returns its standard error.
    pub fn fails_with(&mut self, status: u8) -> String {
        let code = self.ends_within(wait::LONG);
        let title = &self.title;
        assert_eq!(
            code,
            i32::from(status),
            "{title}'s exit status: {}",
            self.report()
        );
        self.err()
    }

    /// Shuts it down: it must exit with status 0 within five seconds.
    pub fn stop(&mut self) {
        stop_all(std::slice::from_mut(self));
    }

    /// Waits until its output contains all these words.
    pub fn says(&mut self, words: &[&str]) {
        let said = wait::until(wait::LONG, || {
            // Asked first, because the last words may come with the end.
            let running = self.is_running();
            let text = self.out() + &self.err();
            if words.iter().all(|word| text.contains(word)) {
                Some(true)
            } else {
                (!running).then_some(false)
            }
        });
        assert_eq!(
            said,
            Some(true),
            "{} should have said {words:?}: {}",
            self.title,
            self.report()
        );
    }

    /// Its title, its state and its output.
    #[must_use]
    pub fn report(&self) -> String {
        let state = self
            .status
            .map_or("running".to_owned(), |status| status.to_string());
        let age = self.started.elapsed();
        format!(
            "\n--- {}, {state}, {age:.1?} after its start ---\n{}{}",
            self.title,
            self.out(),
            self.err()
        )
    }

    fn end(&mut self) {
        // It may have ended by itself just now.
        let _ = self.child.kill();
        let status = self.child.wait().expect("it is a child process");
        self.ended(status);
    }

    fn ended(&mut self, status: ExitStatus) {
        guard::forget(self.child.id());
        self.out.finish();
        self.err.finish();
        self.status = Some(status);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.is_none() {
            self.end();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

/// Shuts several processes down together. Each must exit with status 0 within five seconds.
pub fn stop_all(processes: &mut [Process]) {
    for process in &mut *processes {
        process.signal(Signal::Terminate);
    }
    let asked = Instant::now();
    for process in processes {
        let code = process.ends_within(Duration::from_secs(5).saturating_sub(asked.elapsed()));
        assert_eq!(
            code,
            0,
            "{}'s exit status after SIGTERM: {}",
            process.title,
            process.report()
        );
    }
}

/// One of a process's two output streams, read by a thread.
#[derive(Debug, Default)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn read(from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let into = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from
                .read_until(b'\n', &mut line)
                .is_ok_and(|length| length > 0)
            {
                into.lock()
                    .expect("nothing panics while it holds this")
                    .append(&mut line);
            }
        });
        Stream {
            bytes,
            reader: Some(reader),
        }
    }

    /// Waits for the end of the stream.
    fn finish(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it does not panic");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(
            &self
                .bytes
                .lock()
                .expect("nothing panics while it holds this"),
        )
        .into_owned()
    }
}
