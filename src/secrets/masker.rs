//! Replaces secrets in text and in a stream of chunks whose borders may cut a secret in two.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::registry::MASK;

/// So many characters of a secret are worth hiding; fewer are at the end of any text.
const TELLING: usize = 4;

/// Finds all known secrets in one pass.
#[derive(Debug)]
pub struct Masker {
    automaton: Option<AhoCorasick>,
    patterns: Vec<Vec<u8>>,
}

impl Masker {
    /// A masker for exactly these strings; the longest match at a place wins.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a String>) -> Self {
        let patterns: Vec<Vec<u8>> = secrets
            .into_iter()
            .map(|s| s.clone().into_bytes())
            .collect();
        let automaton = (!patterns.is_empty()).then(|| {
            AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                // The fastest kind takes 300 KiB for each token.
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(&patterns)
                .expect("a set of secrets is far below the automaton's size limit")
        });
        Self {
            automaton,
            patterns,
        }
    }

    /// `text` with every secret replaced.
    pub fn mask(&self, text: &str) -> String {
        match &self.automaton {
            None => text.to_owned(),
            Some(automaton) => automaton.replace_all(text, &vec![MASK; self.patterns.len()]),
        }
    }

    /// `bytes` with every secret replaced.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.automaton {
            None => bytes.to_vec(),
            Some(automaton) => automaton.replace_all_bytes(bytes, &vec![MASK; self.patterns.len()]),
        }
    }

    /// The same for bytes whose end was cut off and will never come: what may be most of a secret is not shown.
    pub fn mask_cut(&self, bytes: &[u8]) -> Vec<u8> {
        let (whole, open) = bytes.split_at(self.decided(bytes));
        let mut masked = self.mask_bytes(whole);
        masked.extend_from_slice(if open.len() < TELLING {
            open
        } else {
            MASK.as_bytes()
        });
        masked
    }

    /// How many bytes from the start may be masked now; the rest may hold the beginning of a secret and waits for more.
    pub fn decided(&self, bytes: &[u8]) -> usize {
        let Some(automaton) = &self.automaton else {
            return bytes.len();
        };
        let open = self
            .patterns
            .iter()
            .filter_map(|pattern| {
                let longest = pattern.len().saturating_sub(1).min(bytes.len());
                (1..=longest)
                    .rev()
                    .find(|&n| bytes.ends_with(&pattern[..n]))
            })
            .max()
            .unwrap_or(0);
        let cut = bytes.len() - open;
        // A whole secret may end in what another one begins with; it is not cut in two.
        automaton
            .find_iter(bytes)
            .find(|found| found.start() < cut && cut < found.end())
            .map_or(cut, |found| found.start())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::super::Registry;

    #[test]
    fn plain_and_url_encoded_forms_are_masked() {
        let registry = Registry::default();
        registry.register("p@ss/word 1");
        let masker = registry.masker();
        for text in [
            "p@ss/word 1",
            "p%40ss%2Fword%201",
            "p%40ss%2fword%201",
            "p%40ss%2Fword+1",
        ] {
            assert_eq!(masker.mask(&format!("a {text} b")), "a **** b");
        }
    }

    #[test]
    fn a_secret_of_no_use_is_forgotten() {
        let registry = Registry::default();
        registry.register("first/token");
        registry.register("second/token");
        registry.forget("first/token");
        let text = registry
            .masker()
            .mask("first/token first%2Ftoken second%2ftoken");
        assert_eq!(text, "first/token first%2Ftoken ****");
    }

    #[test]
    fn short_values_are_left_alone() {
        let registry = Registry::default();
        registry.register("git");
        assert_eq!(registry.masker().mask("git clone"), "git clone");
    }

    #[test]
    fn a_secret_whose_end_begins_another_is_not_cut() {
        let registry = Registry::default();
        registry.register("tokena");
        registry.register("abcdef");
        assert_eq!(registry.masker().decided(b"x tokena"), 2);
    }

    /// What comes out where `text` comes in pieces of these sizes.
    fn in_pieces(masker: &super::Masker, text: &[u8], sizes: &[usize]) -> String {
        let (mut held, mut out, mut at) = (Vec::new(), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let end = (at + size).min(text.len());
            held.extend_from_slice(&text[at..end]);
            let ready = masker.decided(&held);
            out.extend(masker.mask_bytes(&held[..ready]));
            held.drain(..ready);
            at = end;
            if at == text.len() {
                break;
            }
        }
        out.extend(masker.mask_bytes(&held));
        String::from_utf8_lossy(&out).into_owned()
    }

    /// True where some stretch of letters, read as base64 from any of its places, has the secret in it.
    fn is_in_base64(text: &str, secret: &str) -> bool {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "+/-_".contains(letter);
        text.split(|letter| !is_letter(letter)).any(|stretch| {
            let stretch = stretch.replace('-', "+").replace('_', "/");
            (0..4.min(stretch.len())).any(|start| {
                let whole = stretch.len() - (stretch.len() - start) % 4;
                let bytes = STANDARD.decode(&stretch[start..whole]).unwrap_or_default();
                let secret = secret.as_bytes();
                bytes.windows(secret.len()).any(|window| window == secret)
            })
        })
    }

    #[test]
    fn a_private_key_is_masked_line_by_line() {
        let registry = Registry::default();
        registry.register(
            "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n",
        );
        let text = registry
            .masker()
            .mask("a MIIEvQIBADANBgkq b -----BEGIN KEY----- c hkiG9w0BAQEFAASC");
        assert_eq!(text, "a **** b -----BEGIN KEY----- c ****");
    }

    proptest! {
        #[test]
        fn no_form_of_a_secret_passes_whatever_the_chunking(
            secret in "[!-~äß€𝄞]{6}[ -~äß€𝄞]{0,30}[!-~äß€𝄞]",
            before in "[a-z]{0,5}:",
            behind in "[ -~]{0,5}",
            sizes in prop::collection::vec(1usize..30, 1..20),
        ) {
            let registry = Registry::default();
            registry.register(&secret);
            let masker = registry.masker();
            let pair = format!("{before}{secret}{behind}");
            let in_json = serde_json::Value::from(secret.as_str()).to_string();
            let in_json = &in_json[1..in_json.len() - 1];
            let in_url = utf8_percent_encode(&secret, NON_ALPHANUMERIC).to_string();
            let is_masked = |text: &str, form: &str| {
                let out = in_pieces(&masker, format!("x {text} y").as_bytes(), &sizes);
                // A secret may have the mask itself in it.
                out.contains("****") && (form.contains('*') || !out.contains(form))
            };
            prop_assert!(is_masked(&pair, &secret));
            let members = ["{\"a\": \"", in_json, "\"}"].concat();
            prop_assert!(is_masked(&members, in_json));
            prop_assert!(is_masked(&in_json.replace('/', "\\/"), &in_json.replace('/', "\\/")));
            if secret.chars().all(char::is_alphanumeric) {
                let url = ["https://u:", &in_url, "@h/"].concat();
                prop_assert!(is_masked(&url, &in_url));
            }
            for encoded in [STANDARD.encode(&pair), URL_SAFE.encode(&pair)] {
                let out = in_pieces(&masker, format!("Basic {encoded}\n").as_bytes(), &sizes);
                prop_assert!(!is_in_base64(&out, &secret), "{out}");
            }
        }

        #[test]
        fn no_secret_passes_whatever_the_chunking(cuts in prop::collection::vec(1usize..9, 1..40)) {
            let registry = Registry::default();
            registry.register("hunter2-secret");
            registry.register("hunter2");
            let masker = registry.masker();
            let text = b"xx hunter2-secret yy hunter2hunter2-secretzz hunter2-secre";
            let out = in_pieces(&masker, text, &cuts);
            prop_assert!(!out.contains("hunter2"), "{out}");
        }
    }
}
