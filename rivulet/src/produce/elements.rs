//! The elements of a JSON array, one by one.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::ControlFlow;
use std::rc::Rc;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::json::unquoted;
use serde::Deserializer;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::rules::{EachRecord, ReadRules};

/// How many bytes JSON may take for one byte of a text, at most: `\u0001`.
const ESCAPED: u64 = 6;

/// Calls `each` for every element of the array. An element that is a text is without its quotes;
/// any other is as it stands. Of an element that is far larger than a record may be, only a part is
/// read.
///
/// # Errors
/// Those of `each`; if `input` cannot be read; with the line and the column, if it is not an array
/// or more than an array.
pub(super) fn each_element<R: Read>(
    input: R,
    rules: &ReadRules<'_>,
    each: EachRecord<'_>,
) -> Result<()> {
    let budget = Budget {
        full: ESCAPED * rules.largest as u64 + 2 * rules.block as u64,
        left: Rc::default(),
    };
    budget.refill();
    let input = Bounded {
        input,
        budget: budget.clone(),
    };
    let input = BufReader::with_capacity(rules.block, input);
    let mut json = serde_json::Deserializer::from_reader(input);
    let mut ended = None;
    let elements = Elements {
        each,
        ended: &mut ended,
        budget,
    };
    let read = json.deserialize_seq(elements).and_then(|()| json.end());
    match (ended, read) {
        (Some(ended), _) => ended,
        (None, Ok(())) => Ok(()),
        (None, Err(error)) if error.is_io() => rules.failed(error.into()),
        (None, Err(error)) => Err(Error::new(format!("reading {}", rules.place), error)
            .of_kind(Kind::Corrupt)
            .help(
                "the records before this place were sent; correct the file, or send it as lines \
                 with --as lines",
            )),
    }
}

/// How many bytes may be read before the next element ends. It is shared with the reader.
#[derive(Debug, Clone)]
struct Budget {
    full: u64,
    left: Rc<Cell<u64>>,
}

impl Budget {
    fn refill(&self) {
        self.left.set(self.full);
    }
}

/// A reader that keeps memory bounded: it reads no more than a budget.
#[derive(Debug)]
struct Bounded<R> {
    input: R,
    budget: Budget,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.left.get();
        if left == 0 {
            let why = "an element of the array is larger than a record may be";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        let read = self.input.read(buffer)?;
        self.budget.left.set(left.saturating_sub(read as u64));
        Ok(read)
    }
}

struct Elements<'e> {
    each: EachRecord<'e>,
    /// How it has ended before the end of the array.
    ended: &'e mut Option<Result<()>>,
    budget: Budget,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Box<RawValue>>()? {
            self.budget.refill();
            let each = match unquoted(element.get()) {
                Ok(value) => (self.each)(value.as_bytes()),
                // Such as half of a surrogate pair. The parser knows its place.
                Err(error) => return Err(A::Error::custom(error)),
            };
            *self.ended = Some(match each {
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => Ok(()),
                Err(error) => Err(error),
            });
            return Err(A::Error::custom("it has ended before the array"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::shutdown::Shutdown;

    use super::*;

    /// Small blocks, so that every element crosses a border.
    fn rules(shutdown: &Shutdown) -> ReadRules<'_> {
        ReadRules {
            place: "a.json",
            largest: 40,
            block: 3,
            shutdown,
        }
    }

    /// The elements up to the end or to an error.
    fn read(json: &str) -> (Vec<String>, Result<()>) {
        let mut found = Vec::new();
        let result = each_element(json.as_bytes(), &rules(&Shutdown::new()), &mut |element| {
            found.push(String::from_utf8(element.to_vec()).unwrap());
            Ok(ControlFlow::Continue(()))
        });
        (found, result)
    }

    #[test]
    fn an_element_is_sent_as_it_stands_and_a_text_without_quotes() {
        let json = r#" [ {"a": [1, "]"],  "b":"}{"} ,
            [[], {}],1.50,"x \"y\" [\u00e9,",true,null,"",1e400 ] "#;
        let (found, result) = read(json);
        let expected = [
            r#"{"a": [1, "]"],  "b":"}{"}"#,
            "[[], {}]",
            "1.50",
            "x \"y\" [é,",
            "true",
            "null",
            "",
            "1e400",
        ];
        assert_eq!(found, expected);
        assert_eq!(result, Ok(()));
        assert_eq!(read(" [ ]\n"), (Vec::new(), Ok(())));
    }

    #[test]
    fn elements_before_a_broken_one_are_sent() {
        for (json, sent, place) in [
            ("[1,\n2,\n {\"a\" 3}]", 2, "line 3 column 7"),
            ("[1,2", 2, "line 1 column 4"),
            ("[1 2]", 1, "line 1 column 4"),
            ("[1,2] 3", 2, "line 1 column 7"),
            ("[1,\"\\ud800\"]", 1, "line 1 column"),
            ("{}", 0, "line 1 column"),
        ] {
            let (found, result) = read(json);
            let error = result.unwrap_err();
            assert_eq!((found.len(), error.kind()), (sent, Kind::Corrupt), "{json}");
            let error = error.to_string();
            assert!(
                error.contains("a.json") && error.contains(place),
                "{json}: {error}"
            );
        }
    }

    #[test]
    fn an_element_that_is_far_too_large_is_not_read() {
        let json = format!("[1,\"{}\"]", "a".repeat(100_000));
        let (found, result) = read(&json);
        assert_eq!(found, ["1"]);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
        assert!(
            error.to_string().contains("larger than a record may be"),
            "{error}"
        );
    }

    #[test]
    fn it_ends_where_it_is_told_to() {
        let mut count = 0;
        let json = &b"[1,2,3,rubbish"[..];
        let result = each_element(json, &rules(&Shutdown::new()), &mut |_| {
            count += 1;
            Ok(match count {
                2 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        });
        assert_eq!((count, result), (2, Ok(())));
    }
}
