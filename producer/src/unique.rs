//! A name that nothing else has.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Sixteen bytes that are different each time, on every machine.
///
/// They come from the keys with which the standard library protects its maps: the system's own
/// random numbers, without a dependency for them.
#[must_use]
pub fn unique() -> [u8; 16] {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64 | half()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let names: std::collections::BTreeSet<_> = (0..1000).map(|_| unique()).collect();
        assert_eq!(names.len(), 1000);
        let halves: std::collections::BTreeSet<_> =
            names.iter().flat_map(|name| name.chunks(8)).collect();
        assert_eq!(halves.len(), 2000);
    }
}
