//! Chance: what a seed decides.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Numbers that follow from a seed: the generator xoshiro256++ (Blackman and Vigna 2018), whose
/// every bit is defined, so that a seed means the same schedule on every machine.
#[derive(Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The chance of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Chance(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below `end`, which is not 0.
    ///
    /// # Panics
    /// Never.
    pub fn below(&mut self, end: u32) -> u32 {
        // Multiplication and shift (Lemire 2019), without its correction: what is small here is
        // small.
        let wide = (self.0.next_u64() >> 32) * u64::from(end);
        u32::try_from(wide >> 32).expect("it is below the end")
    }

    /// An index into so many, which are not none.
    ///
    /// # Panics
    /// If they are more than 2^32.
    pub fn index(&mut self, count: usize) -> usize {
        self.below(u32::try_from(count).expect("they are few")) as usize
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.index(all.len())]
    }
}
