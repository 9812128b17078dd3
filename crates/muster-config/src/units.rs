//! Parses sizes and octal modes. Callers report errors.

/// A plain decimal number: no sign, exponent, `inf` or `nan`.
fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !text.starts_with('.');
    if plain { text.parse().ok() } else { None }
}

/// Parses a size: bytes, or a number with `K`, `KB`, `KiB` and so on to `T`, all of them 1024-based as in supervisord.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_uppercase();
    let shift = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let bytes = decimal(number)? * (1_u64 << shift) as f64;
    (shift > 0 && bytes.fract() == 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// Parses an octal number of at most four digits, as in umasks and file modes.
pub(crate) fn parse_octal(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let fits = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    if fits { u32::from_str_radix(digits, 8).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_1024_based_however_they_are_spelled() {
        for (text, expected) in [
            ("1024", Some(1024)),
            ("10MB", Some(10 << 20)),
            ("10mb", Some(10 << 20)),
            ("1GiB", Some(1 << 30)),
            ("1 K", Some(1024)),
            ("1.5K", Some(1536)),
            ("5B", Some(5)),
            ("1.5", None),
            ("", None),
            ("MB", None),
            ("10XB", None),
            ("-1", None),
            ("99999999T", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn octal_numbers_have_at_most_four_octal_digits() {
        for (text, expected) in [
            ("022", Some(0o22)),
            ("0o022", Some(0o22)),
            ("0777", Some(0o777)),
            ("8", None),
            ("", None),
            ("00000", None),
        ] {
            assert_eq!(parse_octal(text), expected, "{text:?}");
        }
    }
}
