//! A terminal, in which a page's commands are typed.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::process::{Signal, send};
use crate::{guard, programs, wait};

/// Begins the line with the exit status of a command.
const MARK: &str = "\n\u{1}";

/// A shell. It is killed on drop, with what it has started.
pub(super) struct Terminal {
    shell: Child,
    input: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Opens a terminal in a folder, with the project's programs on its path.
    pub(super) fn open(folder: &Path) -> Self {
        let programs = programs::program("rivulet");
        let programs = programs.parent().expect("a program is in a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-c", "exec bash --norc 2>&1"])
            .current_dir(folder)
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        programs::forget_settings(&mut command);
        let mut shell = command.spawn().expect("bash is installed");
        guard::watch(shell.id());
        let output = Arc::new(Mutex::new(Vec::new()));
        let (mut from, into) = (shell.stdout.take().expect("it is piped"), output.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(count @ 1..) = from.read(&mut bytes) {
                let mut output = into.lock().expect("nothing panics while it holds this");
                output.extend_from_slice(&bytes[..count]);
            }
        });
        let input = shell.stdin.take().expect("it is piped");
        Terminal {
            shell,
            input,
            output,
        }
    }

    /// Types a command. It reads nothing from the terminal.
    pub(super) fn type_command(&mut self, command: &str) {
        let quoted = command.replace('\'', r"'\''");
        let line = format!("eval '{quoted}' </dev/null; printf '\\n\\001%d\\n' $?\n");
        let typed = self.input.write_all(line.as_bytes());
        typed.expect("the shell reads");
    }

    /// Interrupts what the shell has started.
    pub(super) fn interrupt(&self) {
        for child in self.children() {
            send(child, Signal::Interrupt);
        }
    }

    fn children(&self) -> Vec<u32> {
        let shell = self.shell.id();
        let children = format!("/proc/{shell}/task/{shell}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        children
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    fn output(&self) -> MutexGuard<'_, Vec<u8>> {
        self.output
            .lock()
            .expect("nothing panics while it holds this")
    }

    /// What it shows since the last step.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output()).into_owned()
    }

    /// Waits for the end of a command, and returns its output and its exit status.
    pub(super) fn wait_for_end(&mut self) -> Option<(String, i32)> {
        wait::until(wait::LONG, || {
            let text = self.text();
            let (shown, rest) = text.split_once(MARK)?;
            let (status, rest) = rest.split_once('\n')?;
            *self.output() = rest.as_bytes().to_vec();
            Some((shown.to_owned(), status.parse().unwrap_or(-1)))
        })
    }

    /// Waits until `has` finds what it looks for, in so many lines, and takes these. Returns what
    /// is there otherwise.
    pub(super) fn wait_for(&mut self, has: impl Fn(&str) -> Option<usize>) -> Result<(), String> {
        let found = wait::until(wait::LONG, || has(&self.text()));
        match found {
            Some(lines) => {
                let text = self.text();
                let rest: String = text.split_inclusive('\n').skip(lines).collect();
                *self.output() = rest.into_bytes();
                Ok(())
            }
            None => Err(self.text()),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        for child in self.children() {
            send(child, Signal::Kill);
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        guard::forget(self.shell.id());
    }
}
