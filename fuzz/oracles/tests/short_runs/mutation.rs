//! Mutations of seeds: pseudo-random, and the same in every run.

/// SplitMix64 (Steele, Lea, Flood 2014), started from a fixed number.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, `end` excluded; 0 when `end` is.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).expect("a length fits");
        usize::try_from(self.throw() % end).expect("less than a length")
    }
}

/// An endless row of inputs.
pub(crate) struct Mutation<'a> {
    seeds: &'a [Vec<u8>],
    words: Vec<Vec<u8>>,
    dice: Dice,
}

impl<'a> Mutation<'a> {
    pub(crate) fn new(seeds: &'a [Vec<u8>], words: Vec<Vec<u8>>) -> Self {
        Self {
            seeds,
            words,
            dice: Dice(2026),
        }
    }

    /// A seed after one to eight changes.
    pub(crate) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_seed().clone();
        for _ in 0..=self.dice.below(8) {
            self.change(&mut input);
        }
        input
    }

    fn any_seed(&mut self) -> &'a Vec<u8> {
        &self.seeds[self.dice.below(self.seeds.len())]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.dice.below(input.len() + 1);
        let end = at + self.dice.below((input.len() - at).min(64) + 1);
        match self.dice.below(8) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
            1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.dice.throw().to_le_bytes()[0];
                }
            }
            2 => drop(input.drain(at..end)),
            3 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            4 => input.truncate(at),
            5 => {
                let other = self.any_seed();
                input.truncate(at);
                input.extend_from_slice(&other[self.dice.below(other.len() + 1)..]);
            }
            _ => {
                let word = self.words[self.dice.below(self.words.len())].clone();
                let replaced = if self.dice.below(2) == 0 { at } else { end };
                input.splice(at..replaced, word);
            }
        }
    }
}

/// The words of a libFuzzer dictionary: `"…"` on a line, with `\"`, `\\` and `\xAB` inside.
pub(crate) fn dictionary(text: &str) -> Vec<Vec<u8>> {
    let quoted = text.lines().filter(|line| !line.starts_with('#'));
    quoted
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix('"'))
        .map(unescaped)
        .collect()
}

fn unescaped(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = word;
    while let Some((plain, escape)) = left.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(digits) = escape.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&digits[..2], 16).expect("two hexadecimal digits"));
            left = &digits[2..];
        } else {
            bytes.extend_from_slice(&escape.as_bytes()[..1]);
            left = &escape[1..];
        }
    }
    bytes.extend_from_slice(left.as_bytes());
    bytes
}
