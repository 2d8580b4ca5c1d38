//! `screen COLUMNSxROWS COMMAND…` runs a command at a terminal, for scripts. Each line of standard
//! input is a time in seconds and a text: it waits until the screen shows the text, and prints the
//! screen and a line `===`.

use std::io::{self, BufRead, Write};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rivulet_tests::{Pty, wait};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let size = words.first().and_then(|size| {
        let (columns, rows) = size.split_once('x')?;
        Some((columns.parse().ok()?, rows.parse().ok()?))
    });
    let (Some(size), [_, program, arguments @ ..]) = (size, words.as_slice()) else {
        eprintln!(
            "usage: screen COLUMNSxROWS COMMAND…\nEach line of standard input is SECONDS TEXT: \
             waits until the screen shows the text, and prints it."
        );
        return ExitCode::from(2);
    };
    let pty = Pty::start(program, Command::new(program).args(arguments), size);
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let (seconds, text) = line.split_once(' ').unwrap_or(("10", &line));
        let seconds = Duration::from_secs(seconds.parse().unwrap_or(10));
        let found = wait::until(seconds, || pty.screen().contains(text).then_some(()));
        println!("{}\n===", pty.screen());
        if found.is_none() || io::stdout().flush().is_err() {
            eprintln!(
                "error: {program} has not shown `{text}` in {} s",
                seconds.as_secs()
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
