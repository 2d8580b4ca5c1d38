//! A program at a terminal: [`Pty`].

mod picture;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

use crate::process::{Signal, send};
use crate::{guard, wait};

/// A program at a terminal of its own. Keys are typed, and its screen is read as a person sees it.
/// It is killed on drop.
pub struct Pty {
    title: String,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    parser: Arc<Mutex<Parser>>,
}

impl Pty {
    /// Starts a program at a terminal with this many columns and rows.
    #[must_use]
    pub fn start(title: impl Into<String>, command: &Command, (columns, rows): (u16, u16)) -> Self {
        let title = title.into();
        let failed = |what: &str, error: &dyn std::fmt::Display| -> ! {
            panic!("{title}: {what}: {error}");
        };
        let pair = native_pty_system()
            .openpty(size(columns, rows))
            .unwrap_or_else(|error| failed("opening a terminal", &error));
        let child = pair
            .slave
            .spawn_command(builder(command))
            .unwrap_or_else(|error| failed("starting it", &error));
        child.process_id().into_iter().for_each(guard::watch);
        let master = pair.master;
        let mut output = master
            .try_clone_reader()
            .unwrap_or_else(|error| failed("reading its terminal", &error));
        let keys = master
            .take_writer()
            .unwrap_or_else(|error| failed("typing at its terminal", &error));
        let parser = Arc::new(Mutex::new(Parser::new(rows, columns, 0)));
        let shared = parser.clone();
        // It ends with the program, because the terminal closes then.
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                lock(&shared).process(&buffer[..length]);
            }
        });
        Pty {
            title,
            master,
            keys,
            child,
            parser,
        }
    }

    /// Types keys, such as `?` or `\x1b[B`, the key that goes down.
    pub fn keys(&mut self, keys: &str) {
        let typed = self.keys.write_all(keys.as_bytes());
        typed.and_then(|()| self.keys.flush()).expect("it reads");
    }

    /// Changes the size of the terminal.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        // What the program draws at once is for the new size.
        let mut parser = lock(&self.parser);
        parser.screen_mut().set_size(rows, columns);
        let resized = self.master.resize(size(columns, rows));
        resized.unwrap_or_else(|error| panic!("{}: resizing: {error}", self.title));
    }

    /// Sends it a signal, as somebody at another terminal does.
    pub fn signal(&mut self, signal: Signal) {
        let id = self.child.process_id().expect("it runs");
        send(id, signal);
    }

    /// The text on the screen, a line for each row.
    #[must_use]
    pub fn screen(&self) -> String {
        lock(&self.parser).screen().contents()
    }

    /// Whether a program draws on a screen of its own, which is not that of the shell.
    #[must_use]
    pub fn is_full_screen(&self) -> bool {
        lock(&self.parser).screen().alternate_screen()
    }

    /// Whether something on the screen has a colour.
    #[must_use]
    pub fn has_colours(&self) -> bool {
        let parser = lock(&self.parser);
        let (rows, columns) = parser.screen().size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| parser.screen().cell(row, column));
        cells.any(|cell| {
            let colours = [cell.fgcolor(), cell.bgcolor()];
            colours
                .iter()
                .any(|colour| *colour != vt100::Color::Default)
        })
    }

    /// The screen as a picture: SVG.
    #[must_use]
    pub fn picture(&self) -> String {
        picture::svg(lock(&self.parser).screen())
    }

    /// Waits until the screen is as it should be. Returns it.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn shows(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let found = wait::until(wait::LONG, || {
            Some(self.screen()).filter(|screen| is(screen))
        });
        found.unwrap_or_else(|| {
            panic!(
                "{} should have shown {what}:\n{}",
                self.title,
                self.screen()
            )
        })
    }

    /// Waits until the program has ended. Returns its exit code.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn ends(&mut self) -> u32 {
        let ended = wait::until(wait::LONG, || {
            self.child.try_wait().expect("it is a child process")
        });
        ended
            .unwrap_or_else(|| panic!("{} should have ended:\n{}", self.title, self.screen()))
            .exit_code()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl std::fmt::Debug for Pty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pty")
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

fn lock(parser: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    parser.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize {
        rows,
        cols: columns,
        pixel_width: 0,
        pixel_height: 0,
    }
}

/// The same command for a terminal.
fn builder(command: &Command) -> CommandBuilder {
    let mut words = vec![command.get_program().to_owned()];
    words.extend(command.get_args().map(OsString::from));
    let mut builder = CommandBuilder::from_argv(words);
    builder.env("TERM", "xterm-256color");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => builder.env(name, value),
            None => builder.env_remove(name),
        }
    }
    // Otherwise it would start in the home folder, as a new terminal does.
    let here = std::env::current_dir().ok();
    if let Some(folder) = command.get_current_dir().map(Into::into).or(here) {
        builder.cwd(folder);
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_at_a_terminal_is_read_and_typed_at() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "stty size; read line; printf '\\033[2J\\033[31m%s' \"$line\"; read end",
        ]);
        let mut pty = Pty::start("sh", &command, (100, 30));
        pty.shows("its size", |screen| screen.contains("30 100"));
        assert!(!pty.has_colours());
        pty.keys("hello\r");
        let screen = pty.shows("what was typed", |screen| screen.trim() == "hello");
        assert!(pty.has_colours(), "{screen}");
        pty.keys("\r");
        assert_eq!(pty.ends(), 0);
    }
}
