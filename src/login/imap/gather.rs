//! The fragments of one command, put together again.

use zeroize::Zeroizing;

/// A command as far as it has come. Wiped when dropped, and when it grows: it holds passwords.
#[derive(Default)]
pub struct Gather(Zeroizing<Vec<u8>>);

impl Gather {
    /// Adds `bytes`. They are moved to a larger buffer by hand, since a `Vec` that grows leaves
    /// its old bytes behind.
    pub fn push(&mut self, bytes: &[u8]) {
        let length = self.0.len() + bytes.len();
        if length > self.0.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(length.next_power_of_two()));
            larger.extend_from_slice(&self.0);
            self.0 = larger;
        }
        self.0.extend_from_slice(bytes);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Gather {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gather({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_put_together_in_order_and_not_printed() {
        let mut gather = Gather::default();
        for fragment in ["a LOGIN {5}\r\n", "mrose", "", " tanstaaf"] {
            gather.push(fragment.as_bytes());
        }
        assert_eq!(gather.as_bytes(), b"a LOGIN {5}\r\nmrose tanstaaf");
        assert_eq!(format!("{gather:?}"), "Gather(27 bytes)");
    }
}
