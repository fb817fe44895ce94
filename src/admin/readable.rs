//! Secrets that people copy from paper.

use zeroize::Zeroizing;

use crate::crypto::{CryptoError, random};

/// Digits and letters without those that are mistaken for one another; 32 of them, so that five random bits choose
/// one without bias.
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Groups of four random letters with dashes between them: `N` letters of five random bits each.
///
/// # Errors
/// [`CryptoError::Random`].
pub fn readable<const N: usize>() -> Result<Zeroizing<String>, CryptoError> {
    let random = Zeroizing::new(random::<N>()?);
    let mut text = Zeroizing::new(String::with_capacity(N.saturating_mul(2)));
    for (index, byte) in random.iter().enumerate() {
        if index > 0 && index % 4 == 0 {
            text.push('-');
        }
        let letter = LETTERS.get(usize::from(byte & 31)).copied();
        text.push(char::from(letter.unwrap_or(b'0')));
    }
    Ok(text)
}

/// What was meant by a text that somebody typed: dashes, spaces and capitals do not count.
pub(super) fn as_meant(typed: &str) -> Zeroizing<String> {
    let letters = typed.chars().filter(|c| !c.is_whitespace() && *c != '-');
    Zeroizing::new(letters.map(|c| c.to_ascii_lowercase()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_in_groups_and_are_read_however_they_are_typed() {
        let text = readable::<16>().unwrap();
        let groups: Vec<&str> = text.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4));
        assert_ne!(readable::<16>().unwrap(), text);
        let typed = format!(" {} ", text.to_uppercase().replace('-', " "));
        assert_eq!(as_meant(&typed), as_meant(&text));
        assert_eq!(as_meant(&text).len(), 16);
    }
}
