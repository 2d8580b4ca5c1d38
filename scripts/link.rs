//! The build script of the programs: packs the relocations of position-independent binaries, mostly
//! those of OpenSSL's tables, which makes each program 0.7 MB smaller.
//!
//! Packed relocations need glibc 2.36 at run time (Debian 12, Ubuntu 22.10 and later). A program
//! for this machine is packed only if this machine can run it; one for another machine always,
//! because Debian 12 is what rivulet asks of a Pi.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../scripts/link.rs");
    let is_glibc = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|target| target == "gnu");
    let is_cross = env::var("TARGET") != env::var("HOST");
    if is_glibc && (is_cross || host_packs()) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Whether this machine's glibc is 2.36 or later.
fn host_packs() -> bool {
    let Ok(output) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else {
        return false;
    };
    // "glibc 2.36"
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .trim()
        .strip_prefix("glibc 2.")
        .and_then(|minor| minor.parse::<u32>().ok());
    version.is_some_and(|minor| minor >= 36)
}
