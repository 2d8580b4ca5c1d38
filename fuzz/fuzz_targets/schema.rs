//! Avro's schemas, and their resolution. The input is two lines, the schemas of the writer and of
//! the reader, and then a datum of the writer.
//!
//! - A schema is read or is an error; nothing panics, and no stack overflows.
//! - A datum that can be read with the reader's schema and without it ends at the same byte. A text
//!   that is not UTF-8 can be read as bytes, so one of the two may be an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rivulet_formats::avro::datum::read;
use rivulet_formats::avro::input::Input;
use rivulet_formats::avro::resolve::read_as;
use rivulet_formats::avro::schema::Schema;
use rivulet_formats::mapping::{Field, FieldTree, Pointer};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [writer, reader, datum] = [line(), line(), line()];
    let texts = (str::from_utf8(writer), str::from_utf8(reader));
    let (Ok(writer), Ok(reader)) = texts else {
        return;
    };
    let (Ok(plain), Ok(reader)) = (Schema::parse(writer), Schema::parse(reader)) else {
        return;
    };
    let resolved = read_as(writer, Some(&reader)).unwrap();
    let pointers = ["/a", "/a/b", "/c/0", "/"].map(|text| Pointer::parse(text).unwrap());
    let tree = FieldTree::new(&pointers);
    let end = |schema: &Schema| {
        let mut input = Input::new(datum);
        let mut fields = vec![Field::Missing; pointers.len()];
        read(schema, &tree, &mut input, &mut fields)
            .ok()
            .map(|()| input.len())
    };
    if let (Some(left), Some(plainly)) = (end(&resolved), end(&plain)) {
        assert_eq!(left, plainly);
    }
});
