//! Replaces secrets in text and in a stream of chunks whose borders may cut a secret in two.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::registry::MASK;

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

    proptest! {
        #[test]
        fn no_secret_passes_whatever_the_chunking(cuts in prop::collection::vec(1usize..9, 1..40)) {
            let registry = Registry::default();
            registry.register("hunter2-secret");
            registry.register("hunter2");
            let masker = registry.masker();
            let text = b"xx hunter2-secret yy hunter2hunter2-secretzz hunter2-secre";
            let (mut held, mut out, mut at) = (Vec::new(), Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(text.len());
                held.extend_from_slice(&text[at..end]);
                let ready = masker.decided(&held);
                out.extend(masker.mask_bytes(&held[..ready]));
                held.drain(..ready);
                at = end;
                if at == text.len() { break; }
            }
            out.extend(masker.mask_bytes(&held));
            prop_assert!(!out.windows(7).any(|w| w == b"hunter2"), "{}", String::from_utf8_lossy(&out));
        }
    }
}
