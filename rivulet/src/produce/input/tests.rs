//! Tests of the formats of an input.

use std::ops::ControlFlow;

use super::*;

/// The records of an input that comes in pieces.
fn read(pieces: &[&str], format: Option<InputFormat>) -> (Vec<String>, Result<()>) {
    let empty: Box<dyn Read> = Box::new(io::empty());
    let bytes = pieces.iter().fold(empty, |before, piece| {
        Box::new(before.chain(Cursor::new(piece.to_string())))
    });
    let input = Input {
        bytes,
        name: "a.txt".into(),
        is_typed: false,
        prompts: false,
        shutdown: Shutdown::new(),
    };
    let mut found = Vec::new();
    let result = input.each(format, 10, &mut |record| {
        found.push(String::from_utf8(record.to_vec()).unwrap());
        Ok(ControlFlow::Continue(()))
    });
    (found, result)
}

#[test]
fn a_record_is_a_line_without_its_line_end() {
    for (text, expected) in [
        ("a\nb\n", vec!["a", "b"]),
        ("a\nb", vec!["a", "b"]),
        ("a\r\nb\r\n", vec!["a", "b"]),
        ("a\rb\r", vec!["a\rb\r"]),
        ("\n a \n\n", vec!["", " a ", ""]),
        ("\u{feff}a\n", vec!["a"]),
        ("{\"a\":1}\n[2]\n", vec!["{\"a\":1}", "[2]"]),
        ("0123456789\r\n", vec!["0123456789"]),
        ("", vec![]),
    ] {
        let (found, result) = read(&[text], None);
        assert_eq!(
            (found, result),
            (expected.iter().map(ToString::to_string).collect(), Ok(()))
        );
    }
}

#[test]
fn the_first_byte_tells_the_format_unless_it_is_given() {
    let records = |pieces: &[&str], format| read(pieces, format).0;
    assert_eq!(records(&["\n \t", "[1", ",2]"], None), ["1", "2"]);
    assert_eq!(records(&["\u{feff}", " [1]"], None), ["1"]);
    assert_eq!(records(&["\n", "1\n"], None), ["", "1"]);
    assert_eq!(
        records(&["[1]\n", "[2]"], Some(InputFormat::Lines)),
        ["[1]", "[2]"]
    );
    let (found, result) = read(&["1\n2"], Some(InputFormat::JsonArray));
    assert_eq!(
        (found.len(), result.unwrap_err().kind()),
        (0, Kind::Corrupt)
    );
}

#[test]
fn a_line_that_is_too_large_is_named() {
    let (found, result) = read(&["a\n0123456789a\nb\n"], None);
    let error = result.unwrap_err();
    assert_eq!((found.len(), error.kind()), (1, Kind::TooLarge));
    assert!(error.to_string().contains("a.txt: record 2 "), "{error}");
}

#[test]
fn an_input_that_is_no_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: PathBuf| {
        let source = InputSource::File(path);
        source
            .open(&ProgressBar::hidden(), &Shutdown::new())
            .err()
            .unwrap()
    };
    assert!(
        open(folder.path().to_owned())
            .to_string()
            .contains("directory")
    );
    let missing = open(folder.path().join("none.json"));
    assert_eq!(missing.kind(), Kind::Missing);
    assert!(missing.to_string().contains("none.json"), "{missing}");
}
