//! The documents against the code: the glossary's words are in use, links lead somewhere, and pages
//! that are generated are up to date.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rivulet::Registry;
use rivulet::catalog::ComponentList;

use self::repository::{files, root};

mod repository;

#[test]
fn every_word_of_the_glossary_is_used_in_the_code() {
    let code = words_of_the_code();
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let words = glossary_words(&glossary);
    assert!(words.len() > 20, "{words:?}");
    assert!(words.is_sorted(), "not in alphabetical order: {words:?}");
    assert_eq!(unused(&words, &code), Vec::<&str>::new());
}

#[test]
fn a_word_that_the_code_does_not_use_is_found() {
    let glossary =
        "| word | meaning |\n| --- | --- |\n| stage | A process. |\n| quibbler | None. |";
    let code = words_of_the_code();
    assert_eq!(unused(&glossary_words(glossary), &code), ["quibbler"]);
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let documents = files(&["md"]);
    for path in documents {
        let text = fs::read_to_string(&path).unwrap();
        let links = links(&text).into_iter();
        broken.extend(
            links
                .filter(|link| !leads_somewhere(&path, link))
                .map(|link| format!("{}: {link}", path.display())),
        );
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn a_link_to_nothing_is_found() {
    let text = "[a](README.md), [b](README.md#documents),\n`[c](d)` [e](no.md) [f](README.md#no)";
    let from = root().join("CHANGELOG.md");
    let links = links(text).into_iter();
    let broken: Vec<&str> = links.filter(|link| !leads_somewhere(&from, link)).collect();
    assert_eq!(broken, ["no.md", "README.md#no"]);
}

/// The words of the first column of the glossary's table.
fn glossary_words(text: &str) -> Vec<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let first = rows.filter_map(|row| row.split(" | ").next());
    first.skip(2).collect()
}

/// All code outside this file, in lower case, one blank between two words. `DeadLetter` and
/// `dead_letter` are two words each.
fn words_of_the_code() -> String {
    let mut words = String::from(" ");
    for path in files(&["rs"]) {
        if path.ends_with("rivulet/tests/documents.rs") {
            continue;
        }
        let mut before = ' ';
        for letter in fs::read_to_string(&path).unwrap().chars() {
            if letter.is_uppercase() && before.is_lowercase() {
                words.push(' ');
            }
            if letter.is_alphanumeric() {
                words.extend(letter.to_lowercase());
            } else if !words.ends_with(' ') {
                words.push(' ');
            }
            before = letter;
        }
    }
    words
}

/// The words that occur neither in the singular nor in the plural.
fn unused<'w>(words: &[&'w str], code: &str) -> Vec<&'w str> {
    let is_used =
        |word: &str| code.contains(&format!(" {word} ")) || code.contains(&format!(" {word}s "));
    let words = words.iter().copied();
    words.filter(|word| !is_used(word)).collect()
}

/// The targets of a document's links, without those in code and those to other sites.
fn links(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let prose = text.split("```").step_by(2);
    for part in prose.flat_map(|prose| prose.split('`').step_by(2)) {
        let targets = part.split("](").skip(1);
        found.extend(targets.filter_map(|rest| rest.split(')').next()));
    }
    found.retain(|target| !target.contains("://"));
    found
}

fn leads_somewhere(from: &Path, link: &str) -> bool {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = match file {
        "" => from.to_owned(),
        file => from.with_file_name(file),
    };
    if anchor.is_empty() {
        return path.exists();
    }
    fs::read_to_string(path).is_ok_and(|text| headings(&text).contains(anchor))
}

/// The anchors that GitHub makes of a document's headings.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles
        .map(|title| {
            let title = title.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

#[test]
fn the_page_of_the_catalog_is_what_the_command_prints() {
    let page = fs::read_to_string(root().join("docs/catalog.md")).unwrap();
    let printed = ComponentList::new(&Registry::default()).to_string();
    assert!(
        page == printed,
        "docs/catalog.md is not what the catalogs say\n  help: make catalog"
    );
}

/// What a command in the repository's folder prints.
fn output(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_page_of_c_libraries_is_what_the_script_prints() {
    let page = fs::read_to_string(root().join("docs/bundled.md")).unwrap();
    assert!(
        page == output(&mut Command::new("scripts/bundled")),
        "docs/bundled.md is not what Cargo.lock says\n  help: make bundled"
    );
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.skip(2) {
        let version = row.split(" | ").nth(1).unwrap();
        let is_version = version.split('.').all(|part| part.parse::<u32>().is_ok());
        assert!(is_version, "{row}");
    }
}

#[test]
fn make_takes_its_variables_from_anywhere() {
    let make = || {
        let mut make = Command::new("make");
        make.args(["--dry-run", "--no-print-directory", "aarch64"]);
        // This test may run under `make test PROFILE=…`.
        for name in ["PROFILE", "BUILD", "MAKEFLAGS", "MAKELEVEL"] {
            make.env_remove(name);
        }
        make
    };
    let way = |printed: String| printed.lines().last().unwrap_or_default().trim().to_owned();
    assert_eq!(way(output(&mut make())), "scripts/aarch64 release");
    let environment = output(make().env("PROFILE", "dev").env("BUILD", "zig"));
    assert_eq!(way(environment), "scripts/aarch64 dev zig");
    let argument = output(make().args(["PROFILE=dev", "BUILD=zig"]));
    assert_eq!(way(argument), "scripts/aarch64 dev zig");
}

/// The alerts of Prometheus, in their order, each with its line that names a section.
fn alerts() -> Vec<(String, String)> {
    let rules = fs::read_to_string(root().join("monitoring/alerts.yml")).unwrap();
    let value = |line: &str, key: &str| line.trim().strip_prefix(key).map(str::to_owned);
    let names = rules.lines().filter_map(|line| value(line, "- alert: "));
    let runbooks = rules.lines().filter_map(|line| value(line, "runbook: "));
    names.zip(runbooks).collect()
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let page = fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let sections = page.lines().filter_map(|line| line.strip_prefix("## "));
    let alerts = alerts();
    let names: Vec<&str> = alerts.iter().map(|(name, _)| &**name).collect();
    assert!(names.len() > 10, "{names:?}");
    assert_eq!(sections.collect::<Vec<_>>(), names);
    for (name, runbook) in &alerts {
        assert_eq!(
            *runbook,
            format!("docs/alerts.md#{}", name.to_lowercase()),
            "{name}"
        );
    }
}

/// The names of metrics in a text, without what Prometheus adds to them.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let names = words.filter(|word| word.starts_with("rivulet_") || word.starts_with("process_"));
    names
        .map(|name| name.trim_end_matches("_total").trim_end_matches("_bucket"))
        .collect()
}

#[test]
fn every_metric_that_is_watched_is_exposed() {
    let folder = root().join("node/src/observe/exposition");
    let files = fs::read_dir(&folder).unwrap();
    let mut code = fs::read_to_string(folder.with_extension("rs")).unwrap();
    code.extend(files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()));
    let rules = fs::read_to_string(root().join("monitoring/alerts.yml")).unwrap();
    let dashboard = output(Command::new("scripts/dashboard").arg("--queries"));
    let watched = metrics(&rules).len() + metrics(&dashboard).len();
    assert!(watched > 50, "{watched}");
    for name in metrics(&rules).union(&metrics(&dashboard)) {
        assert!(code.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// The packages of a lock file with their versions.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let lock = fs::read_to_string(root().join(path)).unwrap();
    let lock: toml::Table = lock.parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let text = |value: &toml::Value| value.as_str().unwrap().to_owned();
    packages
        .map(|package| (text(&package["name"]), text(&package["version"])))
        .collect()
}

/// With other versions, building it would compile librdkafka and OpenSSL a second time.
#[test]
fn the_example_has_the_versions_of_the_workspace() {
    let workspace = locked("Cargo.lock");
    let mut example = locked("examples/own-operator/Cargo.lock");
    example.retain(|(name, _)| name != "own-operator");
    assert!(example.len() > 50, "{example:?}");
    let others: Vec<_> = example.difference(&workspace).collect();
    assert!(
        others.is_empty(),
        "{others:?}\n  help: cp Cargo.lock examples/own-operator/ && scripts/example metadata"
    );
}
