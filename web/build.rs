//! Takes plotly's script out of its crate, and compresses it: that takes longer than serving it.

use std::env;
use std::fs;
use std::path::Path;

use miniz_oxide::deflate::compress_to_vec;
use plotly::Plot;

/// What is before each script.
const TAG: &str = "<script type=\"text/javascript\">";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let scripts = Plot::offline_js_sources();
    let script =
        plotly_script(&scripts).expect("the crate has plotly's script first, then another");
    let folder = env::var("OUT_DIR").expect("Cargo sets it");
    fs::write(
        Path::new(&folder).join("plotly.min.js.gz"),
        gzip(script.as_bytes()),
    )
    .expect("Cargo has made the folder");
}

/// Plotly's script, without that for formulas.
fn plotly_script(scripts: &str) -> Option<&str> {
    let (first, _) = scripts.strip_prefix(TAG)?.rsplit_once(TAG)?;
    let script = first.trim_end().strip_suffix("</script>")?;
    script.starts_with("/**\n* plotly.js v").then_some(script)
}

/// As RFC 1952 says: a header without a name and a time, the data, its checksum and its length.
fn gzip(data: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    file.extend(compress_to_vec(data, 9));
    file.extend(crc32fast::hash(data).to_le_bytes());
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length is modulo 2^32 by definition"
    )]
    file.extend((data.len() as u32).to_le_bytes());
    file
}
