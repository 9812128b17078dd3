//! When a failed attempt is repeated.

use std::time::Duration;

const DELAYS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// The delay before this repetition, counted from 0: 1 s, 5 s, and 25 s from then on.
pub fn delay(repetition: u32) -> Duration {
    let last = DELAYS.len() - 1;
    DELAYS[usize::try_from(repetition).map_or(last, |number| number.min(last))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_up_to_25_seconds() {
        let delays: Vec<u64> = (0..5).map(|repetition| delay(repetition).as_secs()).collect();
        assert_eq!(delays, [1, 5, 25, 25, 25]);
        assert_eq!(delay(u32::MAX).as_secs(), 25);
    }
}
