//! Bytes of a console as the text that is shown: encoding, backspaces, carriage returns (D-223).

/// How a console's control characters are treated.
#[derive(Clone, Copy, Debug)]
pub struct LineRules {
    /// Keep only the last state of a line that was written over (`agent.suppress_carriage_return`).
    pub fold_carriage_returns: bool,
}

impl LineRules {
    /// The text of `bytes`, which hold whole lines but for the last one (D-223).
    pub fn text(self, bytes: &[u8]) -> String {
        let decoded = String::from_utf8_lossy(bytes);
        if !decoded.contains(['\u{8}', '\r']) {
            return decoded.into_owned();
        }
        let plain = decoded.replace('\u{8}', "");
        if self.fold_carriage_returns {
            plain.split_inclusive('\n').map(fold).collect()
        } else {
            plain.replace('\r', "\n")
        }
    }
}

/// The last piece of a line that shows anything.
fn fold(line: &str) -> String {
    let (body, end) = line
        .strip_suffix('\n')
        .map_or((line, ""), |body| (body, "\n"));
    let last = body
        .split('\r')
        .rfind(|piece| !piece.is_empty())
        .unwrap_or_default();
    format!("{last}{end}")
}

/// How many bytes at the end of `bytes` begin a character that is not complete yet.
pub(super) fn incomplete_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    match tail.iter().rposition(|&byte| byte & 0xC0 != 0x80) {
        Some(lead) => {
            let have = tail.len() - lead;
            let want = match tail[lead] {
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => 1,
            };
            if have < want { have } else { 0 }
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLD: LineRules = LineRules {
        fold_carriage_returns: true,
    };
    const KEEP: LineRules = LineRules {
        fold_carriage_returns: false,
    };

    /// D-223, E-270
    #[test]
    fn a_progress_bar_collapses_to_its_last_state() {
        assert_eq!(FOLD.text(b"a 1%\ra 2%\rdone\n"), "done\n");
        assert_eq!(FOLD.text(b"x\r\ny\n"), "x\ny\n");
        assert_eq!(FOLD.text(b"p1\rp2\r"), "p2");
        assert_eq!(FOLD.text(b"\rlead\n"), "lead\n");
        assert_eq!(FOLD.text(b"a\n\nb\n"), "a\n\nb\n");
        assert_eq!(KEEP.text(b"a 1%\ra 2%\rdone\n"), "a 1%\na 2%\ndone\n");
    }

    /// D-223, E-270
    #[test]
    fn backspaces_go_and_bad_bytes_are_replaced() {
        assert_eq!(FOLD.text(b"ab\x08c\xff\x1b[1m\n"), "abc\u{fffd}\u{1b}[1m\n");
    }

    /// D-224
    #[test]
    fn a_character_cut_by_the_end_is_recognised() {
        let text = "ä€🦀".as_bytes();
        let expected = [0, 1, 0, 1, 2, 0, 1, 2, 3, 0];
        for (end, expected) in expected.into_iter().enumerate() {
            assert_eq!(
                incomplete_character(&text[..end]),
                expected,
                "after {end} bytes"
            );
        }
        assert_eq!(incomplete_character(b"\xff\xff"), 0);
    }
}
