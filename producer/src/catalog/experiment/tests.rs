use crate::testing::{diagnostic, folder, open_in};

const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

#[test]
fn settings_that_make_no_experiment_are_errors() {
    for (settings, words) in [
        ("num-sensors = 0", "0 is out of range"),
        ("sample-rate = -10", "-10 is out of range"),
        (
            "lower-threshold = 3, upper-threshold = 2",
            "3 is above the upper threshold 2",
        ),
        (
            "lower-threshold = 27",
            "27 is above the upper threshold 26.5",
        ),
        ("sample-reat = 10", "did you mean `sample-rate`?"),
        (
            "config-file = \"a.json\", sample-rate = 10",
            "leave out `researcher`",
        ),
        ("document-topic = \"documents\"", "set `topic`"),
    ] {
        let config = format!("experiment = {{ secret-key-file = \"key\", {settings} }}");
        let error = diagnostic(&config);
        assert!(error.contains(words), "{settings}: {error}");
    }
    let error = diagnostic("experiment = { num-sensors = 2 }");
    assert!(error.contains("secret-key-file"), "{error}");
}

#[test]
fn a_wrong_key_is_an_error_with_the_remedy() {
    let folder = folder("key", &KEY[1..]);
    for (file, words) in [("key", "31 characters"), ("nothing", "No such file")] {
        let config = format!("experiment = {{ secret-key-file = \"{file}\" }}");
        let error = open_in(folder.path(), &config).err().unwrap().to_string();
        assert!(
            error.contains(words) && error.contains(file) && error.contains("openssl rand -hex 16"),
            "{error}"
        );
    }
}

#[test]
fn a_document_that_does_not_fit_into_a_record_is_an_error() {
    let folder = folder("key", KEY);
    let config = "experiment = { secret-key-file = \"key\", topic = \"a\", document-topic = \"b\", \
                  carry-out-samples = 80001 }";
    let error = open_in(folder.path(), config).err().unwrap().to_string();
    assert!(error.contains("80000 measurements"), "{error}");
}
