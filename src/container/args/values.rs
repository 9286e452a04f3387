//! How docker reads numbers, sizes, times and lists in the values of its flags.

/// A whole number, as Go reads a literal: `10`, `-1`, `0x1f`, `0o17`, `017`, `1_000`.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let is_digit = |c: char| c.is_digit(base);
    if digits.contains("__") || !digits.starts_with(|c| is_digit(c) || c == '_' && base != 10) {
        return None;
    }
    if digits.ends_with('_') {
        return None;
    }
    let value = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    i64::try_from(if is_negative { -value } else { value }).ok()
}

/// A size such as `8g`, `1.5 GiB`, `512M`, `100`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "docker multiplies the same way"
)]
pub(super) fn bytes(text: &str) -> Option<i64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, suffix) = (text[..=end].trim_end_matches(' '), &text[end + 1..]);
    if text[..=end].len() - number.len() > 1 {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    if number.is_nan() || number < 0.0 {
        return None;
    }
    let suffix = suffix.to_ascii_lowercase();
    if matches!(suffix.as_str(), "" | "b") {
        return Some(number as i64);
    }
    let mut letters = suffix.chars();
    let unit = letters.next()?;
    let power = "kmgtp".find(unit)?;
    if !matches!(letters.as_str(), "" | "b" | "ib") {
        return None;
    }
    Some((number * (1_i64 << (10 * (power + 1))) as f64) as i64)
}

/// A number of processors in billionths: `1.5`, `1/2`, `2e-1`.
pub(super) fn nanos(text: &str) -> Option<i64> {
    let (above, below) = match text.split_once('/') {
        Some((above, below)) => (decimal(above)?, decimal(below).filter(|b| b.1 == 0)?),
        None => (decimal(text)?, (1, 0)),
    };
    if below.0 == 0 || (text.contains('/') && above.1 != 0) {
        return None;
    }
    // above.0 × 10^(9 + exponent) ÷ below.0, without a rest.
    let exponent = 9_i32.checked_add(above.1)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
    let (above, below) = if exponent < 0 {
        (above.0, below.0.checked_mul(power)?)
    } else {
        (above.0.checked_mul(power)?, below.0)
    };
    (above % below == 0).then(|| i64::try_from(above / below).ok())?
}

/// A decimal number as digits and a power of ten.
fn decimal(text: &str) -> Option<(i128, i32)> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) || fraction.len() > 30 {
        return None;
    }
    let number = format!("{whole}{fraction}").parse().ok()?;
    let shift = i32::try_from(fraction.len()).ok()?;
    Some((number, i32::checked_sub(exponent, shift)?))
}

/// A time in billionths of a second: `30s`, `1m30s`, `1.5h`, `0`.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", 1_000_000_000),
            ("m", 60_000_000_000),
            ("h", 3_600_000_000_000_i128),
        ];
        let (unit, nanos) = units
            .into_iter()
            .find(|(unit, _)| after.starts_with(unit))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.trim_matches('.').is_empty() || fraction.contains('.') {
            return None;
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        total = total.checked_add(digits.checked_mul(nanos)? / scale)?;
        rest = &after[unit.len()..];
        if rest.is_empty() {
            return i64::try_from(sign * total).ok();
        }
    }
}

/// The fields of a line of comma separated values, quoted where they hold a comma: `"device=0,1",capabilities=utility`.
pub(super) fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = text.lines().next().filter(|line| !line.is_empty());
    if rest.is_none() {
        return Err("it is empty");
    }
    while let Some(line) = rest {
        let (field, after) = match line.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => match line.split_once(',') {
                Some((field, after)) => (field.to_owned(), Some(after)),
                None => (line.to_owned(), None),
            },
        };
        if !line.starts_with('"') && field.contains('"') {
            return Err("a quotation mark stands in the middle of a field");
        }
        fields.push(field);
        rest = after;
    }
    Ok(fields)
}

/// The field behind a quotation mark, and what follows its comma.
fn quoted_field(text: &str) -> Result<(String, Option<&str>), &'static str> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("a quotation mark is not closed");
        };
        field.push_str(part);
        if after.is_empty() {
            return Ok((field, None));
        }
        if let Some(after) = after.strip_prefix(',') {
            return Ok((field, Some(after)));
        }
        let Some(after) = after.strip_prefix('"') else {
            return Err("a quotation mark stands in the middle of a field");
        };
        field.push('"');
        rest = after;
    }
}

/// `a=b` as a pair; without a `=` the value is empty.
pub(super) fn pair(text: &str) -> (String, String) {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    (key.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, value) in [
            ("10", 10),
            ("-1", -1),
            ("0x1F", 31),
            ("017", 15),
            ("0o17", 15),
            ("0b101", 5),
            ("1_000", 1000),
            ("0", 0),
            ("+3", 3),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-",
            "1.5",
            "0x",
            "1__0",
            "1_",
            "_1",
            "9223372036854775808",
            "1k",
            "--1",
            "+-1",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn sizes() {
        let k = 1024_i64;
        for (text, value) in [
            ("8g", 8 * k * k * k),
            ("512M", 512 * k * k),
            ("1.5kb", 1536),
            ("100", 100),
            ("10 b", 10),
            ("1 KiB", k),
            ("1t", k.pow(4)),
            ("2PB", 2 * k.pow(5)),
            ("0.5", 0),
            ("64mib", 64 * k * k),
        ] {
            assert_eq!(bytes(text), Some(value), "{text}");
        }
        for text in [
            "", "g", "-1", "1x", "1kbb", "1  g", "1.2.3", "1 gg", "é", "1é",
        ] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn processors() {
        for (text, value) in [
            ("1.5", 1_500_000_000),
            ("1/2", 500_000_000),
            ("2e-1", 200_000_000),
            (".5", 500_000_000),
            ("0.000000001", 1),
            ("2", 2_000_000_000),
        ] {
            assert_eq!(nanos(text), Some(value), "{text}");
        }
        for text in [
            "",
            "x",
            "1/0",
            "1/3",
            "0.0000000001",
            "1e99",
            "1e999999999999",
        ] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, value) in [
            ("30s", 30_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("0", 0),
            ("-1ms", -1_000_000),
            ("5µs", 5000),
            ("10ns", 10),
        ] {
            assert_eq!(duration(text), Some(value), "{text}");
        }
        for text in ["", "5", "s", "1.2.3s", "1d", ".s", "99999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn comma_separated_values() {
        assert_eq!(fields("a=1,b").unwrap(), ["a=1", "b"]);
        assert_eq!(fields("\"device=0,1\",x").unwrap(), ["device=0,1", "x"]);
        assert_eq!(fields("\"a\"\"b\"").unwrap(), ["a\"b"]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
        for text in ["", "\"a", "a\"b", "\"a\"b", "device=\"0,1\""] {
            assert!(fields(text).is_err(), "{text}");
        }
    }
}
