//! Bytes that are read from the front.

/// Bytes that are read from the front.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    bytes: &'a [u8],
    /// How many elements of arrays and maps may still come. Elements of some types take no bytes,
    /// so their number would not be limited otherwise.
    elements: usize,
}

impl<'a> Input<'a> {
    /// All of some bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Input {
            bytes,
            elements: bytes.len() + 1000,
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The next bytes.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(count)
            .ok_or_else(|| format!("it ends {} bytes early", count - self.bytes.len()))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// The next bytes, in an array.
    ///
    /// # Errors
    /// If there are not so many.
    ///
    /// # Panics
    /// Never: as many were taken.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("it has N bytes"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// If it has more than 64 bits, or does not end.
    pub fn long(&mut self) -> Result<i64, String> {
        let mut number = 0_u64;
        for place in 0..10 {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if place == 9 && bits > 1 {
                break;
            }
            number |= bits << (7 * place);
            if byte < 0x80 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err("a whole number has more than 64 bits".to_owned())
    }

    /// A length.
    ///
    /// # Errors
    /// If it is negative.
    pub fn length(&mut self) -> Result<usize, String> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| format!("a length is {length}"))
    }

    /// Bytes with their length before them.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn sized(&mut self) -> Result<&'a [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    /// Text with its length before it.
    ///
    /// # Errors
    /// If it is not UTF-8, or there is less.
    pub fn text(&mut self) -> Result<&'a str, String> {
        str::from_utf8(self.sized()?).map_err(|error| error.to_string())
    }

    /// The number of elements in the next block of an array or a map; 0 at its end.
    ///
    /// # Errors
    /// If there are more than the bytes can hold.
    pub fn block(&mut self) -> Result<usize, String> {
        let count = self.long()?;
        if count < 0 {
            // The size in bytes, for readers that skip the block.
            self.length()?;
        }
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        self.elements = self
            .elements
            .checked_sub(count)
            .ok_or_else(|| format!("an array or a map has {count} elements"))?;
        Ok(count)
    }
}
