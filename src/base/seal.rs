//! Sixteen bytes that tell nothing to who has not the key. Refuses to know what they are.

use std::fmt;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};

/// A permutation of all blocks of 16 bytes (AES-128), its key schedule made once. One block, one value: without the key
/// its bytes cannot be told from random ones, equal ones are equal.
pub struct Seal(Aes128);

impl Seal {
    /// Under this key.
    pub fn new(key: &[u8; 16]) -> Seal {
        Seal(Aes128::new(&(*key).into()))
    }

    /// The block sealed.
    pub fn close(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        self.0.encrypt_block(&mut block);
        block.into()
    }

    /// The block that [`Seal::close`] made this of.
    pub fn open(&self, block: [u8; 16]) -> [u8; 16] {
        let mut block = Block::from(block);
        self.0.decrypt_block(&mut block);
        block.into()
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_sealed_as_fips_197_says_and_comes_back() {
        // FIPS 197, appendix B.
        let key = 0x2b7e1516_28aed2a6_abf71588_09cf4f3c_u128.to_be_bytes();
        let plain = 0x3243f6a8_885a308d_313198a2_e0370734_u128.to_be_bytes();
        let sealed = 0x3925841d_02dc09fb_dc118597_196a0b32_u128.to_be_bytes();
        let seal = Seal::new(&key);
        assert_eq!(seal.close(plain), sealed);
        assert_eq!(seal.open(sealed), plain);
        assert_eq!(format!("{seal:?}"), "Seal");
    }
}
