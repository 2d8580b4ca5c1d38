//! The random numbers of a schedule.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// A random number generator with a seed: xoshiro256++ (Blackman and Vigna 2018). Every bit of it
/// is defined, so a seed means the same schedule on every machine.
#[derive(Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// A generator with this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Chance(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `end`, which must not be 0.
    ///
    /// # Panics
    /// Never.
    pub fn below(&mut self, end: u32) -> u32 {
        // Multiply and shift (Lemire 2019), without the correction: the bias is tiny for small
        // ranges.
        let wide = (self.0.next_u64() >> 32) * u64::from(end);
        u32::try_from(wide >> 32).expect("it is below the end")
    }

    /// An index into `count` elements, of which there must be one.
    ///
    /// # Panics
    /// If `count` is above 2^32.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(u32::try_from(count).expect("they are few")) as usize
    }

    /// True once in `times` calls on average.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of these values.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
}
