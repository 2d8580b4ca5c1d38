//! `noise`: adds reproducible uniform noise.

use rivulet_core::component::Component;
use rivulet_core::key_state::KeyState;
use rivulet_core::operator::{Emitter, Operator};
use rivulet_core::reading::{InvalidReading, Reading};
use serde::Deserialize;

/// Adds uniform noise in [−amplitude, amplitude).
///
/// The noise of a reading depends only on `seed`, its sensor and its sequence number. So a reading
/// that is processed again after a crash gets the same noise on any machine, and no state is
/// needed. It is one step of `SplitMix64` (G. L. Steele et al., "Fast Splittable Pseudorandom
/// Number Generators", OOPSLA 2014), started at seed ⊕ FNV-1a(sensor) and advanced by the sequence
/// number.
///
/// ```
/// use rivulet_core::operator::collect;
/// use rivulet_operators::catalog;
/// use rivulet_pipeline::ComponentConfig;
///
/// let noise = catalog::build(&ComponentConfig::parse("noise = { amplitude = 1.0, seed = 7 }")?)?;
/// let (once, again) = (collect(&*noise, &[20.0]), collect(&*noise, &[20.0]));
/// assert!(once == again && (once[0] - 20.0).abs() <= 1.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Noise {
    #[serde(default)]
    amplitude: Amplitude,
    /// Another number gives other noise.
    #[serde(default)]
    seed: u64,
}

/// The largest noise, in the reading's unit: finite and not negative, by default 1.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = 0))
)]
pub struct Amplitude(f64);

impl Default for Amplitude {
    fn default() -> Self {
        Amplitude(1.0)
    }
}

impl TryFrom<f64> for Amplitude {
    type Error = String;

    fn try_from(amplitude: f64) -> Result<Self, String> {
        if amplitude.is_finite() && amplitude >= 0.0 {
            Ok(Amplitude(amplitude))
        } else {
            Err(format!(
                "an amplitude cannot be {amplitude}; give a number of at least 0"
            ))
        }
    }
}

impl Component for Noise {
    const NAME: &'static str = "noise";
    const ABOUT: &'static str = "adds uniform noise, the same each time for the same reading";
    const EXAMPLE: &'static str = "noise = { amplitude = 1.0, seed = 7 }";
}

impl Operator for Noise {
    fn process(
        &self,
        reading: Reading<'_>,
        _: &mut [Box<dyn KeyState>],
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        let noise = 2.0 * uniform(self.seed, &reading.sensor, reading.seq) - 1.0;
        let value = reading.value + noise * self.amplitude.0;
        out.emit(Reading { value, ..reading })
    }

    fn describe(&self) -> String {
        format!("noise(amplitude={}, seed={})", self.amplitude.0, self.seed)
    }
}

/// The number in [0, 1) of a seed, a sensor and a sequence number.
fn uniform(seed: u64, sensor: &str, seq: u64) -> f64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let start = seed ^ sensor.bytes().fold(0xCBF2_9CE4_8422_2325, hash);
    let mut z = start.wrapping_add(seq.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    // The upper 53 bits fill an f64's mantissa.
    (z >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use rivulet_core::operator::collect;

    use super::*;

    /// The published first outputs of `SplitMix64` seeded with 1234567 = 0x12d687.
    #[test]
    fn it_is_the_published_generator() {
        let fnv_of_nothing = 0xCBF2_9CE4_8422_2325_u64;
        let published = [
            6_457_827_717_110_365_317_u64,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        for (seq, published) in (0..).zip(published) {
            let expected = (published >> 11) as f64 / (1_u64 << 53) as f64;
            assert_eq!(
                uniform(0x0012_d687 ^ fnv_of_nothing, "", seq).to_bits(),
                expected.to_bits()
            );
        }
    }

    /// Of a sensor's name only the FNV-1a hash counts, which is published for "foobar".
    #[test]
    fn the_hash_of_a_name_is_the_published_one() {
        const OF_NOTHING: u64 = 0xCBF2_9CE4_8422_2325;
        const OF_FOOBAR: u64 = 0x8594_4171_F739_67E8;
        assert_eq!(
            uniform(7, "foobar", 3),
            uniform(7 ^ OF_NOTHING ^ OF_FOOBAR, "", 3)
        );
    }

    #[test]
    fn the_noise_is_scaled_to_the_amplitude() {
        let noise = Noise {
            amplitude: Amplitude(3.0),
            seed: 1,
        };
        let noisy = collect(&noise, &[20.0; 1000]);
        for (value, seq) in noisy.into_iter().zip(0..) {
            let (lowest, highest) = (17.0, 23.0);
            let place = (value - lowest) / (highest - lowest);
            assert!(
                (place - uniform(1, "s", seq)).abs() < 1e-12,
                "{value} is at {place}"
            );
        }
    }

    #[test]
    fn an_amplitude_is_a_finite_number_of_at_least_0() {
        assert_eq!(Amplitude::try_from(0.0).unwrap().0, 0.0);
        assert_eq!(Amplitude::try_from(2.5).unwrap().0, 2.5);
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            Amplitude::try_from(wrong).unwrap_err();
        }
    }

    #[test]
    fn it_is_uniform_and_differs_between_sensors() {
        let draws: Vec<f64> = (0..100_000).map(|seq| uniform(1, "a", seq)).collect();
        let mean = draws.iter().sum::<f64>() / 1e5;
        assert!((mean - 0.5).abs() < 0.005, "the mean is {mean}");
        let tenth = draws.iter().filter(|draw| **draw < 0.1).count();
        assert!(
            (9_500..10_500).contains(&tenth),
            "{tenth} of 100000 are below 0.1"
        );
        assert!((0..100).any(|seq| uniform(1, "a", seq) != uniform(1, "b", seq)));
    }
}
