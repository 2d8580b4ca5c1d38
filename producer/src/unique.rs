//! Unique identifiers.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Sixteen random bytes.
///
/// They come from the random keys of the standard library's hash maps, which the system seeds. This
/// saves a dependency.
#[must_use]
pub fn unique() -> [u8; 16] {
    let half = || u128::from(RandomState::new().build_hasher().finish());
    (half() << 64 | half()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_equal() {
        let ids: std::collections::BTreeSet<_> = (0..1000).map(|_| unique()).collect();
        assert_eq!(ids.len(), 1000);
        let halves: std::collections::BTreeSet<_> =
            ids.iter().flat_map(|id| id.chunks(8)).collect();
        assert_eq!(halves.len(), 2000);
    }
}
