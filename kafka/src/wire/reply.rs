//! The fields of a broker's answer.

/// An answer that is read field by field. Each field is `None` after the end.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    at: usize,
}

impl Reply {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Reply { bytes, at: 0 }
    }

    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn boolean(&mut self) -> Option<bool> {
        self.array::<1>().map(|[byte]| byte != 0)
    }

    pub(crate) fn int16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn int32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn int64(&mut self) -> Option<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// Text; empty if it is null.
    pub(crate) fn text(&mut self) -> Option<String> {
        let length = self.int16()?.max(0);
        let text = self.take(usize::from(length.unsigned_abs()))?;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// A list; empty if it is null. Nothing is allocated for items that are not there.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.int32()?.max(0);
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Some(items)
    }
}
