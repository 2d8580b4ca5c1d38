//! What the build scripts of the programs share: packed relocations.
//!
//! A position-independent binary has a relocation for each address in its data. Most are those of
//! OpenSSL's tables. Packed, they make each program 0.7 MB smaller.
//!
//! They need glibc 2.36 at run time (Debian 12, Ubuntu 22.10 and later). A program for this machine
//! is packed only if this machine can run it. One for another machine always is, because Debian 12
//! is what rivulet asks of a Pi. Zig's linker cannot pack them.
//!
//! In the `main` of `build.rs`:
//!
//! ```
//! rivulet_link::pack_relocations();
//! ```

use std::env;
use std::process::Command;

/// Tells Cargo to pack the relocations of the crate's programs where they can run. Call it from a
/// build script.
pub fn pack_relocations() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_glibc = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|target| target == "gnu");
    let is_cross = env::var("TARGET") != env::var("HOST");
    let is_zig = env::var("RUSTC_LINKER").is_ok_and(|linker| linker.contains("zigcc"));
    if is_glibc && !is_zig && (is_cross || host_packs()) {
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
