//! What an import cannot be faster than.

use std::time::Instant;

use super::encryption::SECRET;

/// Key derivations a second that all cores together do.
pub fn limit() -> f64 {
    let cores = std::thread::available_parallelism().unwrap().get();
    let rounds = std::num::NonZeroU32::new(100_000).unwrap();
    let each = 100;
    let began = Instant::now();
    std::thread::scope(|scope| {
        for core in 0..cores {
            scope.spawn(move || {
                for place in 0..each {
                    let (salt, mut key) = ([core, place].map(usize::to_be_bytes).concat(), [0; 32]);
                    let algorithm = aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256;
                    aws_lc_rs::pbkdf2::derive(algorithm, rounds, &salt, SECRET, &mut key);
                }
            });
        }
    });
    (cores * each) as f64 / began.elapsed().as_secs_f64()
}
