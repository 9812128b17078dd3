//! `text % names`, as Python does it.
//!
//! A value may hold `%(name)s` and any other conversion of printf; `%%` is a percent sign. Names stand for texts,
//! `process_num` and `numprocs` for numbers. The result is bounded: see [`LONGEST`].

use crate::python;

/// The longest result of one expansion, in bytes; also the greatest width and precision.
pub const LONGEST: usize = 1 << 20;

/// The value of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(&'a str),
    /// A number.
    Number(i64),
}

/// Where names are looked up.
pub trait Names {
    /// The value of a name, if it is known.
    fn value(&self, name: &str) -> Option<Value<'_>>;
}

/// Why an expansion failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name is unknown.
    Unknown(String),
    /// The conversion is wrong; the reason in Python's words.
    Badly(String),
    /// A conversion without a name: the original would write all variables at once.
    Nameless,
    /// The result would be longer than [`LONGEST`].
    TooLong,
}

fn badly(reason: impl Into<String>) -> Failure {
    Failure::Badly(reason.into())
}

/// Replaces every conversion in `text`.
pub fn expand(text: &str, names: &dyn Names) -> Result<String, Failure> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let mut format = Format { chars: text.chars().peekable(), index: 0, arguments: Arguments::All };
    let mut out = String::with_capacity(text.len());
    while let Some(c) = format.next() {
        if c == '%' {
            format.conversion(names, &mut out)?;
        } else {
            out.push(c);
        }
        if out.len() > LONGEST {
            return Err(Failure::TooLong);
        }
    }
    Ok(out)
}

/// The source of the next conversion's value.
#[derive(Clone, Copy)]
enum Arguments<'n> {
    /// The dictionary itself: no name was given so far.
    All,
    /// The value of the name just read.
    One(Value<'n>),
    /// Nothing is left.
    Used,
}

struct Format<'t, 'n> {
    chars: std::iter::Peekable<std::str::Chars<'t>>,
    /// Number of characters taken so far.
    index: usize,
    arguments: Arguments<'n>,
}

/// Flags, width and precision of a conversion.
#[derive(Default)]
struct Layout {
    left: bool,
    plus: bool,
    blank: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
}

impl<'n> Format<'_, 'n> {
    fn next(&mut self) -> Option<char> {
        let c = self.chars.next();
        self.index += usize::from(c.is_some());
        c
    }

    fn next_or_incomplete(&mut self) -> Result<char, Failure> {
        self.next().ok_or_else(|| badly("incomplete format"))
    }

    fn conversion(&mut self, names: &'n dyn Names, out: &mut String) -> Result<(), Failure> {
        let mut c = self.next_or_incomplete()?;
        if c == '%' {
            out.push('%');
            return Ok(());
        }
        if c == '(' {
            let name = self.name()?;
            let value = names.value(&name).ok_or(Failure::Unknown(name))?;
            self.arguments = Arguments::One(value);
            c = self.next_or_incomplete()?;
        }
        let (layout, c) = self.layout(c)?;
        let value = match std::mem::replace(&mut self.arguments, Arguments::Used) {
            Arguments::One(value) => value,
            Arguments::All => return Err(self.nameless(c)),
            Arguments::Used => return Err(badly("not enough arguments for format string")),
        };
        let (sign, body, fill) = self.convert(value, &layout, c)?;
        layout.write(&sign, &body, fill, out);
        Ok(())
    }

    /// The text up to the parenthesis that closes the one just read.
    fn name(&mut self) -> Result<String, Failure> {
        let mut name = String::new();
        let mut open = 1;
        loop {
            let c = self.next().ok_or_else(|| badly("incomplete format key"))?;
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Ok(name);
            }
            name.push(c);
        }
    }

    /// Flags, width, precision and the size that is ignored; the character behind them is the conversion.
    fn layout(&mut self, first: char) -> Result<(Layout, char), Failure> {
        let mut layout = Layout::default();
        let mut c = first;
        loop {
            match c {
                '-' => layout.left = true,
                '+' => layout.plus = true,
                ' ' => layout.blank = true,
                '#' => layout.alternate = true,
                '0' => layout.zero = true,
                _ => break,
            }
            c = self.next_or_incomplete()?;
        }
        (layout.width, c) = self.number(c, "width too big", i64::MAX.unsigned_abs())?;
        if c == '.' {
            c = self.next_or_incomplete()?;
            let (precision, behind) = self.number(c, "precision too big", i32::MAX.unsigned_abs().into())?;
            (layout.precision, c) = (Some(precision), behind);
        }
        if matches!(c, 'h' | 'l' | 'L') {
            c = self.next_or_incomplete()?;
        }
        Ok((layout, c))
    }

    /// A number or `*`, which takes an argument: a name's number, behind which nothing is left to convert.
    fn number(&mut self, first: char, too_big: &str, greatest: u64) -> Result<(usize, char), Failure> {
        if first == '*' {
            return Err(badly(match self.arguments {
                Arguments::One(Value::Number(_)) | Arguments::Used => "not enough arguments for format string",
                Arguments::One(Value::Text(_)) | Arguments::All => "* wants int",
            }));
        }
        let mut value: u64 = 0;
        let mut c = first;
        while let Some(digit) = c.to_digit(10) {
            let next = value.checked_mul(10).and_then(|value| value.checked_add(digit.into()));
            value = next.filter(|value| *value <= greatest).ok_or_else(|| badly(too_big))?;
            c = self.next_or_incomplete()?;
        }
        match usize::try_from(value) {
            Ok(value) if value <= LONGEST => Ok((value, c)),
            _ => Err(Failure::TooLong),
        }
    }

    fn unsupported(&self, c: char) -> Failure {
        let shown = if matches!(c, '\x1f'..='~') { c } else { '?' };
        let (code, index) = (u32::from(c), self.index - 1);
        badly(format!("unsupported format character '{shown}' (0x{code:x}) at index {index}"))
    }

    /// Python's reason against converting the dictionary. `%s` would succeed there and write out every variable.
    fn nameless(&self, c: char) -> Failure {
        match c {
            's' | 'r' | 'a' => Failure::Nameless,
            'c' => badly("%c requires int or char"),
            _ => self.not_a_number(c, "dict"),
        }
    }

    fn not_a_number(&self, c: char, what: &str) -> Failure {
        match c {
            'd' | 'i' | 'u' => badly(format!("%{c} format: a real number is required, not {what}")),
            'o' | 'x' | 'X' => badly(format!("%{c} format: an integer is required, not {what}")),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => badly(format!("must be real number, not {what}")),
            _ => self.unsupported(c),
        }
    }

    /// Sign and prefix, the text behind them, and what fills the width.
    fn convert(&self, value: Value<'_>, layout: &Layout, c: char) -> Result<(String, String, char), Failure> {
        let text = match (c, value) {
            ('s', Value::Text(text)) => text.to_owned(),
            ('r', Value::Text(text)) => python::repr(text),
            ('a', Value::Text(text)) => python::ascii(text),
            ('s' | 'r' | 'a', Value::Number(number)) => number.to_string(),
            ('c', value) => return Ok((String::new(), character(value)?, ' ')),
            (_, Value::Text(_)) => return Err(self.not_a_number(c, "str")),
            (_, Value::Number(number)) => return self.number_text(number, layout, c),
        };
        let cut = match layout.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text,
        };
        Ok((String::new(), cut, ' '))
    }

    fn number_text(&self, number: i64, layout: &Layout, c: char) -> Result<(String, String, char), Failure> {
        let size = number.unsigned_abs();
        let (prefix, digits) = match c {
            'd' | 'i' | 'u' => ("", size.to_string()),
            'o' => ("0o", format!("{size:o}")),
            'x' => ("0x", format!("{size:x}")),
            'X' => ("0X", format!("{size:X}")),
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => ("", floating(size, layout, c)),
            _ => return Err(self.unsupported(c)),
        };
        let mut sign = String::from(match (number < 0, layout.plus, layout.blank) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        });
        if layout.alternate {
            sign.push_str(prefix);
        }
        let is_whole = matches!(c, 'd' | 'i' | 'u' | 'o' | 'x' | 'X');
        let zeros = layout.precision.filter(|_| is_whole).unwrap_or(0).saturating_sub(digits.len());
        let fill = if layout.zero { '0' } else { ' ' };
        Ok((sign, "0".repeat(zeros) + &digits, fill))
    }
}

fn character(value: Value<'_>) -> Result<String, Failure> {
    match value {
        Value::Text(text) if text.chars().count() == 1 => Ok(text.to_owned()),
        Value::Text(_) => Err(badly("%c requires int or char")),
        Value::Number(number) => {
            let character = u32::try_from(number).ok().and_then(char::from_u32);
            let character = character.ok_or_else(|| badly("%c arg not in range(0x110000)"))?;
            Ok(character.to_string())
        }
    }
}

/// A whole number as C's `%e`, `%f` or `%g` writes it.
fn floating(size: u64, layout: &Layout, c: char) -> String {
    // Python converts to a double as well.
    let value = size as f64;
    let precision = layout.precision.unwrap_or(6);
    let point = if layout.alternate { "." } else { "" };
    let text = match c.to_ascii_lowercase() {
        'f' if precision == 0 => format!("{value:.0}{point}"),
        'f' => format!("{value:.precision$}"),
        'e' => exponential(value, precision, point),
        _ => general(value, precision.max(1), layout.alternate),
    };
    if c.is_ascii_uppercase() { text.to_ascii_uppercase() } else { text }
}

fn exponential(value: f64, precision: usize, point: &str) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').expect("the form asked for has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    let point = if precision == 0 { point } else { "" };
    format!("{mantissa}{point}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The shorter of the two forms, with as many digits as the precision says and without zeros at the end.
fn general(value: f64, precision: usize, alternate: bool) -> String {
    let point = if alternate { "." } else { "" };
    let scientific = exponential(value, precision - 1, point);
    let (mantissa, exponent) = scientific.split_once('e').expect("just written");
    let exponent: usize = exponent.trim_start_matches('+').parse().expect("whole numbers have no negative exponent");
    if exponent < precision {
        let text = format!("{value:.*}", precision - 1 - exponent);
        return match alternate {
            true if text.contains('.') => text,
            true => text + ".",
            false => trimmed(&text).to_owned(),
        };
    }
    let mantissa = if alternate { mantissa } else { trimmed(mantissa) };
    format!("{mantissa}e+{exponent:02}")
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

impl Layout {
    fn write(&self, sign: &str, body: &str, fill: char, out: &mut String) {
        let length = sign.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let (blanks, zeros, behind) = match (self.left, fill) {
            (true, _) => (0, 0, missing),
            (false, '0') => (0, missing, 0),
            _ => (missing, 0, 0),
        };
        out.push_str(&" ".repeat(blanks));
        out.push_str(sign);
        out.push_str(&"0".repeat(zeros));
        out.push_str(body);
        out.push_str(&" ".repeat(behind));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Names for Known {
        fn value(&self, name: &str) -> Option<Value<'_>> {
            Some(match name {
                "a" => Value::Text("xyz"),
                "e" => Value::Text("é"),
                "" => Value::Text("E"),
                "((a))" => Value::Text("nested"),
                "n" => Value::Number(12),
                "big" => Value::Number(12_345_678_901),
                "neg" => Value::Number(-7),
                _ => return None,
            })
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, &Known).as_deref(), Ok(expected), "{text}");
    }

    fn refused(text: &str, why: &str) {
        assert_eq!(expand(text, &Known), Err(Failure::Badly(why.to_owned())), "{text}");
    }

    #[test]
    fn texts_have_width_and_precision() {
        check("plain", "plain");
        check("%%", "%");
        check("%(a)s%(a)s%%", "xyzxyz%");
        check("%(a)5s|%(a)-5s|%(a).2s|%(a)05s", "  xyz|xyz  |xy|  xyz");
        check("%(a)r %(e)a %(a).2r", "'xyz' '\\xe9' 'x");
        check("%()s %(((a)))s", "E nested");
        check("%(a)ls %(n)hs %(n)ld", "xyz 12 12");
        check("%(e)c%(n)c%(n)3c", "é\u{c}  \u{c}");
    }

    #[test]
    fn numbers_have_all_of_printf() {
        check("%(n)d %(n)i %(n)u %(n)s %(n)r", "12 12 12 12 12");
        check("%(n)02d %(n)05d %(neg)05d", "12 00012 -0007");
        check("%(n)+d|%(n) d|%(n)-8d|%(n)-08d|", "+12| 12|12      |12      |");
        check("%(n).5d %(n)08.3d %(neg).5d %(n).d", "00012 00000012 -00007 12");
        check("%(n)x %(n)X %(n)o %(neg)X", "c C 14 -7");
        check("%(n)#x %(n)#X %(n)#o %(n)#010x %(neg)#x", "0xc 0XC 0o14 0x0000000c -0x7");
        check("%(n)e %(n).0e %(neg)+.2E %(big)e", "1.200000e+01 1e+01 -7.00E+00 1.234568e+10");
        check("%(n)f %(n)5.1f|%(n)#.0f %(n)+08.2f %(neg)F", "12.000000  12.0|12. +0012.00 -7.000000");
        check(
            "%(n)g %(big)g %(big)G %(n)#g %(n).1g %(big).12g %(neg)#.1g %(n)#.2g",
            "12 1.23457e+10 1.23457E+10 12.0000 1e+01 12345678901 -7. 12.",
        );
    }

    #[test]
    fn conversions_that_python_refuses_have_its_reason() {
        refused("%", "incomplete format");
        refused("%(a)", "incomplete format");
        refused("%(a)l", "incomplete format");
        refused("%(", "incomplete format key");
        refused("%(a", "incomplete format key");
        refused("%y", "unsupported format character 'y' (0x79) at index 1");
        refused("%5%", "unsupported format character '%' (0x25) at index 2");
        refused("%(a)%", "unsupported format character '%' (0x25) at index 4");
        refused("%(n)é", "unsupported format character '?' (0xe9) at index 4");
        refused("%(a)lls", "unsupported format character 'l' (0x6c) at index 5");
        refused("%(n).-3d", "unsupported format character '-' (0x2d) at index 5");
        refused("%(n)*d", "not enough arguments for format string");
        refused("%(a)s %s", "not enough arguments for format string");
        refused("%(a)s%5%", "not enough arguments for format string");
        refused("%(a)*d", "* wants int");
        refused("%*d", "* wants int");
        refused("%d", "%d format: a real number is required, not dict");
        refused("%(a)d", "%d format: a real number is required, not str");
        refused("%(a)X", "%X format: an integer is required, not str");
        refused("%(a)e", "must be real number, not str");
        refused("%(a)c", "%c requires int or char");
        refused("%(neg)c", "%c arg not in range(0x110000)");
        refused("%(n)99999999999999999999d", "width too big");
        refused("%(n).99999999999d", "precision too big");
        assert_eq!(expand("%(no)s", &Known), Err(Failure::Unknown("no".to_owned())));
    }

    #[test]
    fn what_would_write_out_everything_or_never_end_is_refused() {
        assert_eq!(expand("%s", &Known), Err(Failure::Nameless));
        assert_eq!(expand("%-5r", &Known), Err(Failure::Nameless));
        assert_eq!(expand("%(a)99999999s", &Known), Err(Failure::TooLong));
        assert_eq!(expand(&"%(a)500000s".repeat(3), &Known), Err(Failure::TooLong));
    }
}
