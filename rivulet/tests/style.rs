//! The rules of the house that no lint checks.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use self::repository::{files, root};

mod repository;

/// The widest line, in characters.
const WIDEST: usize = 100;
/// The longest name of a test, in characters.
const LONGEST: usize = 60;

/// The longest file of Rust, in lines.
const MOST_LINES: usize = 400;

/// House words of the past. Kafka has a word for each. Words that stay on the wire are not here:
/// `memories` in the changelog, `anew` in a dead-letter topic.
const OLD_WORDS: [(&str, &str); 8] = [
    ("bury", "route to the dead-letter topic"),
    ("buried", "routed to the dead-letter topic"),
    ("rewound", "aborted"),
    ("take_over", "restore, migrate"),
    ("refusal", "invalid reading, rejection"),
    ("shelter", "buffer"),
    ("befall", "happen"),
    ("heed", "follow"),
];

#[test]
fn no_line_is_wider_than_a_hundred_columns() {
    let mut wide = Vec::new();
    for (path, text) in texts(&["rs", "toml", "md"]) {
        let is_prose = path.extension().is_some_and(|extension| extension == "md");
        for (number, line) in text.lines().enumerate() {
            // A row of a table, a link and a dependency cannot be wrapped.
            let is_row = line.trim_start_matches(['/', '!', ' ']).starts_with('|');
            let is_link = is_prose && line.contains("](");
            let is_whole = is_row || is_link || line.contains("version = ");
            if line.chars().count() > WIDEST && !is_whole && !line.contains("://") {
                wide.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_eq!(wide, Vec::<String>::new());
}

#[test]
fn no_file_of_rust_has_more_than_four_hundred_lines() {
    let long: Vec<String> = texts(&["rs"])
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_name_of_a_test_is_longer_than_sixty_characters() {
    let mut long = Vec::new();
    for (path, text) in texts(&["rs"]) {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line == "#[test]";
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = rest.split('(').next().unwrap_or_default();
                if name.len() > LONGEST {
                    long.push(format!("{}: {name}", path.display()));
                }
                is_test = false;
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
}

#[test]
fn no_two_public_types_have_one_name() {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in texts(&["rs"]) {
        // These are not for others: what they simulate and test may have the same names.
        if ["simulation", "tests", "bench", "fuzz"]
            .iter()
            .any(|folder| path.starts_with(folder))
        {
            continue;
        }
        for line in text.lines().map(str::trim) {
            let Some(rest) = line.strip_prefix("pub ") else {
                continue;
            };
            for kind in ["struct ", "enum ", "trait ", "type "] {
                if let Some(name) = rest.strip_prefix(kind) {
                    let end = name
                        .find(|c: char| !c.is_alphanumeric())
                        .unwrap_or(name.len());
                    let places = types.entry(name[..end].to_owned()).or_default();
                    places.push(path.display().to_string());
                }
            }
        }
    }
    let doubled = types.into_iter().filter(|(_, places)| places.len() > 1);
    assert_eq!(doubled.collect::<Vec<_>>(), Vec::new());
}

#[test]
fn the_old_words_are_gone() {
    let mut found = Vec::new();
    for (path, text) in texts(&["rs", "md", "toml", "yml"]) {
        let name = path.display().to_string();
        if name.ends_with("tests/style.rs") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for (word, instead) in OLD_WORDS {
                if has_word(line, word) {
                    found.push(format!("{name}:{}: `{word}`: write {instead}", number + 1));
                }
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// Whether a line has the word, also as a part of a name such as `has_memories`.
fn has_word(line: &str, word: &str) -> bool {
    let line = line.to_lowercase();
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    })
}

/// The repository's files with these extensions, from its folder, and their text.
fn texts(extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let root = root();
    let files = files(extensions).into_iter();
    files
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}
