//! Damaged requirement lists: what reads and plans them must never panic. Driven by tests and by fuzzers (`tests/fuzz/`).
//!
//! The tests change the lines of the recorded cases at random, from a fixed seed. `FUZZ_CASES` sets how many lists are
//! tried, and `FUZZ_SEED` another seed (docs/contributing.md).

use std::path::Path;

use super::lines::RequirementLines;
use super::links::Links;
use super::options::PythonOptions;
use super::plan::{InstallPlan, PlanContext};
use super::requirement::{Requirement, Target};
use super::torch::TorchChoices;

/// How many lines were requirements. A requirement of an index is written so that it is read as the same, and no line
/// becomes two.
pub(crate) fn check(text: &str) -> Result<usize, String> {
    let read = || {
        RequirementLines::read(text, Path::new("/code"), &|path| {
            path.to_str()?
                .len()
                .is_multiple_of(2)
                .then(|| "six\n-r more\n".to_owned())
        })
    };
    let mut parsed = 0;
    for line in &read().requirements {
        let Ok(requirement) = Requirement::parse(&line.text) else {
            continue;
        };
        parsed += 1;
        let rendered = requirement.rendered();
        if matches!(requirement.target, Target::Index(_)) {
            let again = Requirement::parse(&rendered).map_err(|error| error.to_string())?;
            if again != requirement {
                return Err(format!(
                    "`{rendered}` is read as {again:?}, not {requirement:?}"
                ));
            }
        }
    }
    let options = PythonOptions::default();
    let context = PlanContext {
        options: &options,
        links: &Links::default(),
        existing: &["six==1.16.0".to_owned()],
        exists: &|path| path.as_os_str().len().is_multiple_of(2),
        torch: &TorchChoices::default(),
    };
    let fresh = InstallPlan::fresh(read(), &context);
    let cached = InstallPlan::cached(read(), &context);
    for line in fresh.main.iter().chain(&cached.main) {
        if line.full().contains('\n') {
            return Err(format!("`{}` is more than one line", line.full()));
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::cases::cases;
    use super::*;

    /// Some seconds of a debug build.
    const CASES: u64 = 20_000;
    const SEED: u64 = 0x00c1_ea41;
    const MOST_CHANGES: usize = 8;
    /// Pieces of the language, and what is near them.
    const PIECES: [&str; 46] = [
        "==",
        "===",
        "~=",
        "!=",
        "<=",
        ">=",
        "<",
        ">",
        "=",
        ",",
        ";",
        " ; ",
        "@",
        " @ ",
        "#",
        " #",
        "\\",
        "\\\n",
        "\n",
        "\r\n",
        " ",
        "\t",
        "[",
        "]",
        "(",
        ")",
        "-e ",
        "-r ",
        "-c ",
        "--hash=sha256:",
        "--extra-index-url ",
        "--pre",
        "git+https://",
        "git+git@",
        "file://",
        "http://",
        "://",
        "..",
        "*",
        "'",
        "\"",
        "%",
        "é",
        "😀",
        "\u{0}",
        "\u{feff}",
    ];

    fn number(variable: &str, default: u64) -> u64 {
        match std::env::var(variable) {
            Ok(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("{variable} is a whole number")),
            Err(_) => default,
        }
    }

    /// All lists of the recorded cases.
    fn corpus() -> Vec<String> {
        let mut texts = Vec::new();
        for kind in ["replace", "parse", "replace_back", "cached_env_replace"] {
            for case in cases(kind) {
                for field in ["requirements", "line"] {
                    texts.extend(case[field].as_str().map(str::to_owned));
                }
            }
        }
        texts
    }

    fn place(random: &mut fastrand::Rng, text: &str) -> usize {
        let mut at = random.usize(..=text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    fn damaged(random: &mut fastrand::Rng, corpus: &[String]) -> String {
        let mut text = corpus[random.usize(..corpus.len())].clone();
        for _ in 0..random.usize(1..MOST_CHANGES) {
            let (one, other) = (place(random, &text), place(random, &text));
            let range = one.min(other)..one.max(other);
            match random.u8(..6) {
                0 if range.len() < 12 => text.replace_range(range, ""),
                1 if text.len() < 2_000 => {
                    let piece = text[range].to_owned();
                    text.insert_str(one, &piece);
                }
                2 if text.len() < 2_000 => {
                    text.insert_str(one, &corpus[random.usize(..corpus.len())]);
                }
                _ => text.insert_str(one, PIECES[random.usize(..PIECES.len())]),
            }
        }
        text
    }

    /// E-143, E-147, E-149: no list makes the reader or the plan panic, and no line of it becomes two.
    #[test]
    fn damaged_lists_are_planned_or_refused() {
        let seed = number("FUZZ_SEED", SEED);
        let count = number("FUZZ_CASES", CASES);
        let corpus = corpus();
        assert!(corpus.len() > 90, "{}", corpus.len());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut parsed = 0;
        for case in 0..count {
            let text = damaged(&mut random, &corpus);
            let result = catch_unwind(AssertUnwindSafe(|| check(&text)));
            match result.unwrap_or_else(|_| Err("a panic".to_owned())) {
                Ok(lines) => parsed += lines,
                Err(problem) => {
                    panic!("case {case} of seed {seed}: {problem}\n--- the list: {text:?}")
                }
            }
        }
        // Damage that nothing survives would test one half alone.
        assert!(parsed as u64 > count / 2, "{parsed} of {count}");
    }
}
