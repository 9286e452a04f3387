//! Puts the lines that the SDK writes at the top of a script behind its `__future__` imports (E-092).

/// `script` with its first two lines moved where they stand in the way of a `__future__` import.
pub(super) fn repair(script: &str) -> String {
    let lines: Vec<&str> = script.split_inclusive('\n').collect();
    let [first, second, rest @ ..] = lines.as_slice() else {
        return script.to_owned();
    };
    if !(first.starts_with("from clearml ") && second.contains("Task.init")) {
        return script.to_owned();
    }
    let end = end_of_future_imports(rest);
    if end == 0 {
        return script.to_owned();
    }
    let (before, after) = rest.split_at(end);
    let mut repaired = before.concat();
    if !repaired.ends_with('\n') {
        repaired.push('\n');
    }
    repaired + first + second + &after.concat()
}

/// How many lines there are up to the end of the last `__future__` import; 0 where there is none.
pub(super) fn end_of_future_imports(lines: &[&str]) -> usize {
    let mut at = 0;
    let mut end = 0;
    while let Some(line) = lines.get(at) {
        let code = line.trim();
        if code.is_empty() || code.starts_with('#') {
            at += 1;
        } else if let Some(quotes) = docstring_quotes(code) {
            at = end_of_docstring(lines, at, quotes);
        } else if is_future_import(code) {
            at = end_of_statement(lines, at);
            end = at;
        } else {
            break;
        }
    }
    end
}

fn is_future_import(code: &str) -> bool {
    let mut words = code.split_whitespace();
    matches!(
        (words.next(), words.next()),
        (Some("from" | "import"), Some("__future__"))
    )
}

/// The quotes that open a docstring, whatever prefix they have.
fn docstring_quotes(code: &str) -> Option<&'static str> {
    let opening = code.trim_start_matches(|c: char| "rRuUbB".contains(c));
    if code.len() - opening.len() > 2 {
        return None;
    }
    ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quotes| opening.starts_with(quotes))
}

/// The line behind the docstring that opens on line `at`.
fn end_of_docstring(lines: &[&str], at: usize, quotes: &str) -> usize {
    let opening = lines[at].find(quotes).unwrap_or_default() + quotes.len();
    let mut rest = &lines[at][opening..];
    let mut line = at;
    loop {
        if closes(rest, quotes) || quotes.len() == 1 {
            return line + 1;
        }
        line += 1;
        match lines.get(line) {
            Some(next) => rest = next,
            None => return line,
        }
    }
}

/// Whether `text` holds `quotes` that are not escaped.
fn closes(text: &str, quotes: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at..].starts_with(quotes.as_bytes()) {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

/// The line behind an import that may go on in parentheses or behind backslashes.
fn end_of_statement(lines: &[&str], at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, line) in lines[at..].iter().enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        depth += code.matches('(').count();
        depth = depth.saturating_sub(code.matches(')').count());
        if depth == 0 && !code.trim_end().ends_with('\\') {
            return at + offset + 1;
        }
    }
    lines.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ADDED: &str = "from clearml import Task\n(__name__ != \"__main__\") or Task.init()\n";

    /// E-092
    #[test]
    fn the_added_lines_move_behind_future_imports() {
        for top in [
            "from __future__ import annotations\n",
            "import __future__\n",
            "# comment\n\n\"\"\"doc\nfrom nothing\n\"\"\"\nfrom __future__ import annotations\n",
            "'''one line'''\nfrom __future__ import (  # all )\n    annotations,\n    division,\n)\n",
            "from __future__ import annotations, \\\n    division\n",
            "from __future__ import a\n\n# more\nfrom __future__ import b\n",
            "r\"\"\"a \\\"\"\" b\n\"\"\"\nfrom __future__ import a\n",
        ] {
            let body = "import os\nfrom __future__ import late\n";
            assert_eq!(
                repair(&format!("{ADDED}{top}{body}")),
                format!("{top}{ADDED}{body}"),
                "{top}"
            );
        }
    }

    /// E-092
    #[test]
    fn other_scripts_are_unchanged() {
        for script in [
            format!("{ADDED}import os\n"),
            "from __future__ import a\nimport os\n".to_owned(),
            format!("{ADDED}import os\nfrom __future__ import late\n"),
            format!("{ADDED}\"\"\"never closed\n"),
            String::new(),
            "x".to_owned(),
        ] {
            assert_eq!(repair(&script), script);
        }
    }

    #[test]
    fn a_script_of_nothing_but_imports_gets_its_line_end() {
        let repaired = repair(&format!("{ADDED}from __future__ import a"));
        assert_eq!(repaired, format!("from __future__ import a\n{ADDED}"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\PC|\n|\"\"\"|\\\\|\\(|\\)|from __future__ import a){0,60}") {
            let _ = repair(&format!("{ADDED}{text}"));
        }
    }
}
