//! Arbitrary bytes dealt out as numbers. When they run out, zeros follow, so any input is a whole program.

pub(crate) struct Deal<'a> {
    left: &'a [u8],
}

impl<'a> Deal<'a> {
    pub(crate) fn new(left: &'a [u8]) -> Self {
        Self { left }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.left.split_first() {
            Some((&byte, left)) => {
                self.left = left;
                byte
            }
            None => 0,
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    pub(crate) fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.bytes())
    }

    /// Up to eight bytes, as many as the first one states, or a number just below 2^64.
    pub(crate) fn number(&mut self) -> u64 {
        match self.byte() % 5 {
            0 => u64::from(self.byte()),
            1 => u64::from(self.short()),
            2 => u64::from(u32::from_le_bytes(self.bytes())),
            3 => u64::from_le_bytes(self.bytes()),
            _ => u64::MAX - u64::from(self.byte()),
        }
    }

    pub(crate) fn number_below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    pub(crate) fn yes(&mut self) -> bool {
        self.byte() % 2 == 1
    }
}
