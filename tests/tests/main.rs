//! All scenarios, in one program: it is linked once, and they run in parallel.

mod alerts;
mod avro;
mod away;
mod chaos;
mod consume;
mod dead_letters;
mod dlq;
mod errors;
mod experiment;
mod fenced;
mod first_lines;
mod foreign;
mod forgotten;
mod group;
mod harness;
mod health;
mod interop;
mod kcat;
mod kill;
mod lag;
mod leader;
mod lessons;
mod limits;
mod log;
mod mapped;
mod margins;
mod mean_of;
mod own_operator;
mod pages;
mod plot;
mod prefix;
mod produce;
mod repeats;
mod report;
mod secured;
mod shutdown;
mod silent;
mod sinks;
mod spool;
mod state;
mod statements;
mod tap;
mod tools;
mod top;
mod topics;
mod truth;
mod vector;
mod web;

/// Tests in a file without a `mod` line would not run.
#[test]
fn every_file_has_a_mod_line() {
    let folder =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).expect("it is there");
    for file in folder {
        let path = file.expect("it can be read").path();
        let name = path.file_stem().expect("it has a name").to_string_lossy();
        let line = format!("\nmod {name};\n");
        assert!(
            name == "main" || include_str!("main.rs").contains(&line),
            "{name} is missing in tests/main.rs"
        );
    }
}
