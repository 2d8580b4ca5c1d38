//! Bytes that are read from the front.

/// Bytes that are read from the front.
pub(super) struct Bytes<'b> {
    pub(super) rest: &'b [u8],
    /// How many elements may still come.
    elements: u64,
}

impl<'b> Bytes<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Bytes {
            rest: bytes,
            elements: bytes.len() as u64 + 1000,
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'b [u8], String> {
        if count > self.rest.len() {
            return Err("it ends too early".to_owned());
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u128;
        for place in 0..10 {
            let byte = self.take(1)?[0];
            number |= u128::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                let number = u64::try_from(number).map_err(|error| error.to_string())?;
                let half = (number / 2).cast_signed();
                return Ok(if number % 2 == 0 { half } else { -half - 1 });
            }
        }
        Err("too many bits".to_owned())
    }

    pub(super) fn length(&mut self) -> Result<usize, String> {
        usize::try_from(self.long()?).map_err(|error| error.to_string())
    }

    pub(super) fn sized(&mut self) -> Result<&'b [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// The number of elements in the next block.
    pub(super) fn count(&mut self) -> Result<u64, String> {
        let count = self.long()?;
        if count < 0 {
            self.length()?;
        }
        let count = count.unsigned_abs();
        self.elements = self
            .elements
            .checked_sub(count)
            .ok_or("too many elements")?;
        Ok(count)
    }

    pub(super) fn text(&mut self) -> Result<&'b str, String> {
        str::from_utf8(self.sized()?).map_err(|error| error.to_string())
    }
}
