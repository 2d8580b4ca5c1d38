//! `lessons PAGE…` types what the pages say on a new Apache Kafka, and compares what one sees.

use std::path::Path;
use std::process::ExitCode;

use rivulet_tests::lessons;

fn main() -> ExitCode {
    let pages: Vec<String> = std::env::args().skip(1).collect();
    if pages.is_empty() {
        eprintln!("usage: lessons PAGE…\nTypes what the pages say, and compares what one sees.");
        return ExitCode::from(2);
    }
    let (mut commands, mut differences) = (0, 0);
    for page in &pages {
        let outcome = match lessons::run(Path::new(page)) {
            Ok(outcome) => outcome,
            Err(why) => {
                eprintln!("error: {why}");
                return ExitCode::FAILURE;
            }
        };
        println!("{page}: {} commands", outcome.commands);
        for difference in &outcome.differences {
            println!("{difference}");
        }
        commands += outcome.commands;
        differences += outcome.differences.len();
    }
    println!(
        "{} pages, {commands} commands, {differences} differences",
        pages.len()
    );
    if differences == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
