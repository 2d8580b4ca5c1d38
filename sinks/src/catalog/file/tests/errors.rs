//! Files that cannot be written, and what the errors say.

use super::*;

#[test]
fn a_full_disk_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let mut sink = FileSink::open(folder.path().join("a.csv"), OutputFormat::Csv).unwrap();
    store(&mut sink, 0..2);
    for _ in 0..2 {
        write(&mut sink, 2, &reading("a", 2, 0.5, None));
        sink.file.as_mut().unwrap().fill_disk();
        let failure = sink.flush().unwrap_err();
        assert!(matches!(&failure, Failure::Passing(_)), "{failure}");
        assert!(
            failure.to_string().contains("No space left on device"),
            "{failure}"
        );
        assert!(
            failure
                .to_string()
                .contains("the stage waits and goes on by itself"),
            "{failure}"
        );
        sink.rollback();
    }
    store(&mut sink, 1..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
}

#[test]
fn a_link_in_the_place_of_the_new_record_is_not_followed() {
    let folder = TempDir::new().unwrap();
    let precious = folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    let mut sink = opened(&folder, CSV).unwrap();
    let link = folder.path().join("a.csv.position.new");
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    store(&mut *sink, 0..2);
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    assert!(!link.exists());
    // Nor is what a power cut left there in the way.
    fs::write(link, "half a rec").unwrap();
    store(&mut *sink, 2..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
}

#[test]
fn a_file_that_another_sink_has_open_is_an_error() {
    let folder = TempDir::new().unwrap();
    let first = opened(&folder, CSV).unwrap();
    let error = opened(&folder, CSV).err().unwrap().to_string();
    assert!(
        error.contains("a.csv: another process stores readings in it"),
        "{error}"
    );
    drop(first);
    opened(&folder, CSV).unwrap();
}

#[test]
fn a_file_of_another_program_is_not_touched() {
    let folder = TempDir::new().unwrap();
    for (name, text) in [
        ("a.csv", "sensor,time,celsius\na,b,c\n"),
        ("b.jsonl", "no newline"),
        ("c.csv", "\n"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = opened(&folder, &format!("file = {{ path = {name:?} }}"))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains(&format!("{name}: it does not begin with ")),
            "{error}"
        );
        assert!(error.contains("move this one away"), "{error}");
        assert_eq!(fs::read_to_string(path).unwrap(), text);
    }
    let edited = format!("{HEADER}t,0,1,a,1,1970-01-01T00:00:00Z,1.0,\nsum,1.0\n");
    fs::write(folder.path().join("a.csv"), &edited).unwrap();
    let error = opened(&folder, CSV).err().unwrap().to_string();
    assert!(
        error.contains("a.csv: line 3 was not written by this sink"),
        "{error}"
    );
    assert_eq!(
        fs::read_to_string(folder.path().join("a.csv")).unwrap(),
        edited
    );
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_with_help() {
    let folder = TempDir::new().unwrap();
    let error = opened(&folder, r#"file = { path = "no/such/a.csv" }"#)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.contains("no/such/a.csv: there is no folder "),
        "{error}"
    );
    assert!(error.contains("help: create it: mkdir -p "), "{error}");
    assert!(
        !folder.path().join("no").exists(),
        "the sink does not create folders"
    );
    let error = opened(&folder, r#"file = { path = "/dev/null", format = "csv" }"#)
        .err()
        .unwrap()
        .to_string();
    assert!(
        error.starts_with("opening /dev/null: it is not a regular file"),
        "{error}"
    );
    let error = opened(&folder, r#"file = { path = ".", format = "csv" }"#)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("directory"), "{error}");
}

#[test]
fn an_unknown_extension_is_an_error_with_help() {
    let config = ComponentConfig::parse(r#"file = { path = "readings" }"#).unwrap();
    let diagnostic = format!("{:?}", read(&config, &[]).unwrap_err());
    assert!(
        diagnostic.contains("the extension of `readings` does not say its format"),
        "{diagnostic}"
    );
    assert!(
        diagnostic.contains("help: Some(\"add format = "),
        "{diagnostic}"
    );
}
