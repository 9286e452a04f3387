//! Applies the sections `environment` and `files` of the configuration (F-090 to F-096).

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::settings::hocon::{Kind, Value};
use crate::settings::{FileEntry, Settings, TargetFormat};
use crate::storage::replace;
use crate::ui::{YamlStyle, yaml};

/// Sets the variables and makes the files; each step is said to `say`.
pub(super) fn apply(settings: Settings, mut say: impl FnMut(String)) -> Settings {
    if let Some(section) = settings.value("environment")
        && !matches!(section.kind, Kind::Object(_) | Kind::Null)
    {
        say(format!(
            "Error: failed applying environment from configuration: it is no object ({})",
            section.origin
        ));
    }
    let variables = settings.environment_section();
    let settings = if variables.is_empty() {
        settings
    } else {
        let names: Vec<String> = variables
            .iter()
            .map(|(name, _)| format!("'{name}'"))
            .collect();
        say(format!(
            "Environment variables set from configuration: [{}]",
            names.join(", ")
        ));
        settings.with_variables(variables)
    };
    let files = settings.files_section();
    if !files.is_empty() {
        say("Creating files from configuration".to_owned());
    }
    for file in &files {
        let name = &file.name;
        let skipped = |what: String| format!("Skipped [{name}]: {what}");
        match make(file) {
            Ok(path) => {
                say(format!("Saved [{name}]: {path}"));
                if let Err(what) = set_mode(file, Path::new(&path)) {
                    say(skipped(what));
                }
            }
            Err(what) => say(skipped(what)),
        }
    }
    settings
}

/// Writes one file; gives its path, or what kept it from being written (F-095).
fn make(file: &FileEntry) -> Result<String, String> {
    let path = file.path.as_deref().ok_or("it has no path")?;
    let shown = path.display();
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(format!("is a directory {shown}")),
        Ok(_) if !file.overwrite => return Err(format!("file exists {shown}")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(format!("can't access {shown} ({error})"));
        }
        _ => {}
    }
    let bytes = contents(file)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| format!("failed creating path {} ({error})", folder.display()))?;
    }
    save(file, path, &bytes).map_err(|error| format!("failed saving file {shown} ({error})"))?;
    Ok(shown.to_string())
}

/// Whoever reads meanwhile sees the old or the new file, and at no time more people than in the end. A link stays one,
/// and a file that is there keeps its mode unless the member names another.
fn save(file: &FileEntry, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // A mode that nobody understands is none to be generous with.
    let named = file.mode.as_ref().map(|mode| octal(mode).unwrap_or(0o600));
    let present = || Some(fs::metadata(&target).ok()?.permissions().mode());
    let mode = named.or_else(present).unwrap_or_else(|| 0o666 & !umask());
    match replace(&target, bytes, mode & 0o7777) {
        // A folder that takes no new files may hold one that can be written.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => fs::write(&target, bytes),
        replaced => replaced,
    }
}

/// The process's mask for new files.
fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok());
    mask.unwrap_or(0o077)
}

/// The mode that the member names; a file that was there before has another one (F-095).
fn set_mode(file: &FileEntry, path: &Path) -> Result<(), String> {
    let Some(mode) = &file.mode else {
        return Ok(());
    };
    let failed = |reason: String| {
        let path = path.display();
        format!("failed setting mode {mode} for {path} ({reason})")
    };
    let bits = octal(mode).ok_or_else(|| failed("no octal number".to_owned()))?;
    fs::set_permissions(path, Permissions::from_mode(bits))
        .map_err(|error| failed(error.to_string()))
}

fn octal(mode: &str) -> Option<u32> {
    u32::from_str_radix(mode.strip_prefix("0o").unwrap_or(mode), 8).ok()
}

/// The bytes of the file (F-096).
fn contents(file: &FileEntry) -> Result<Vec<u8>, String> {
    let text = match &file.contents.kind {
        Kind::Text(text) => text.clone(),
        _ => file.contents.to_text().unwrap_or_default(),
    };
    let mut value = file.contents.clone();
    if file.is_base64 {
        let undecodable = |reason: String| format!("failed decoding base64 ({reason})");
        let bytes = decoded(&text).map_err(|error| undecodable(error.to_string()))?;
        if file.target == TargetFormat::Bytes {
            return Ok(bytes);
        }
        let text = String::from_utf8(bytes).map_err(|error| undecodable(error.to_string()))?;
        value = Value::new(Kind::Text(text), value.origin);
    }
    let encoded = |format: &str, result: serde_json::Result<String>| {
        result.map_err(|error| format!("failed encoding to {format} ({error})"))
    };
    Ok(match file.target {
        TargetFormat::Json => encoded("json", serde_json::to_string_pretty(&value))?,
        TargetFormat::Yaml => serde_json::to_value(&value)
            .map_err(|error| error.to_string())
            .and_then(|value| yaml(&value, YamlStyle::Block).map_err(|error| error.to_string()))
            .map_err(|error| format!("failed encoding to yaml ({error})"))?,
        TargetFormat::Bytes => {
            let path = file.path.as_deref().unwrap_or(Path::new("")).display();
            let reason = "a bytes-like object is required";
            return Err(format!("failed saving file {path} ({reason})"));
        }
        TargetFormat::Text => match &value.kind {
            Kind::List(_) | Kind::Object(_) => {
                encoded("json", serde_json::to_string_pretty(&value))?
            }
            Kind::Null => "None".to_owned(),
            _ => value.to_text().unwrap_or_default(),
        },
    }
    .into_bytes())
}

/// Characters outside the alphabet are skipped, as mail readers do.
fn decoded(text: &str) -> Result<Vec<u8>, base64::DecodeError> {
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let is_of_alphabet =
        |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '/' | '=');
    let letters: String = text.chars().filter(is_of_alphabet).collect();
    GeneralPurpose::new(&STANDARD, config).decode(letters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Environment;

    /// Applies the document and gives what was said, the folder's name as `DIR`.
    fn applied(folder: &Path, text: &str) -> Vec<String> {
        let dir = folder.display().to_string();
        let environment = Environment::from([("DIR", dir.as_str())]);
        let settings = Settings::from_text(text, &environment).unwrap();
        let mut said = Vec::new();
        apply(settings, |line| said.push(line.replace(&dir, "DIR")));
        said
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    /// F-091, F-093
    #[test]
    fn the_names_of_the_variables_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let said = applied(folder.path(), "environment { B: secret, A: 2 }");
        assert_eq!(
            said,
            ["Environment variables set from configuration: ['B', 'A']"]
        );
        assert_eq!(applied(folder.path(), "environment {}"), [""; 0]);
        let error = "Error: failed applying environment from configuration: it is no object (text)";
        assert_eq!(applied(folder.path(), "environment: words"), [error]);
    }

    /// F-095, F-096
    #[test]
    fn files_are_written_as_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let said = applied(
            folder.path(),
            r#"files {
                text { path: "$DIR/sub/text", contents: "a\nb" }
                json { path: "$DIR/json", contents: { a: [1, true] }, target_format: json, mode: "0o600" }
                yaml { path: "$DIR/yaml", contents: { b: [1, {c: "true"}], a: text }, target_format: yml }
                number { path: "$DIR/number", contents: 2.0, mode: 640 }
                bytes { path: "$DIR/bytes", contents: "/w- AB", format: base64, target_format: bytes }
                decoded { path: "$DIR/decoded", contents: "aGk=", format: base64 }
                nothing { path: "$DIR/nothing" }
            }"#,
        );
        let expected = [
            "Creating files from configuration",
            "Saved [text]: DIR/sub/text",
            "Saved [json]: DIR/json",
            "Saved [yaml]: DIR/yaml",
            "Saved [number]: DIR/number",
            "Saved [bytes]: DIR/bytes",
            "Saved [decoded]: DIR/decoded",
            "Saved [nothing]: DIR/nothing",
        ];
        assert_eq!(said, expected);
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("sub/text"), b"a\nb");
        assert_eq!(read("json"), b"{\n  \"a\": [\n    1,\n    true\n  ]\n}");
        assert_eq!(read("yaml"), b"a: text\nb:\n- 1\n- c: 'true'\n");
        assert_eq!(read("number"), b"2.0");
        assert_eq!(read("bytes"), [0xff, 0x00, 0x01]);
        assert_eq!(read("decoded"), b"hi");
        assert_eq!(read("nothing"), b"None");
        assert_eq!(mode(&folder.path().join("json")), 0o600);
        assert_eq!(mode(&folder.path().join("number")), 0o640);
    }

    /// F-095
    #[test]
    fn a_file_that_cannot_be_made_is_skipped_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("there"), "old").unwrap();
        let said = applied(
            folder.path(),
            r#"files {
                folder { path: "$DIR", contents: x }
                kept { path: "$DIR/there", contents: x, overwrite: false }
                below { path: "$DIR/there/x", contents: x }
                letters { path: "$DIR/a", contents: "a", format: base64 }
                plain { path: "$DIR/b", contents: x, target_format: bytes }
                lost { contents: x }
                odd { path: "$DIR/c", contents: x, mode: rw }
            }"#,
        );
        let starts = [
            "Creating files from configuration",
            "Skipped [folder]: is a directory DIR",
            "Skipped [kept]: file exists DIR/there",
            "Skipped [below]: can't access DIR/there/x (",
            "Skipped [letters]: failed decoding base64 (",
            "Skipped [plain]: failed saving file DIR/b (a bytes-like object is required)",
            "Skipped [lost]: it has no path",
            "Saved [odd]: DIR/c",
            "Skipped [odd]: failed setting mode rw for DIR/c (",
        ];
        assert_eq!(said.len(), starts.len(), "{said:?}");
        for (line, start) in said.iter().zip(starts) {
            assert!(line.starts_with(start), "{line} {start}");
        }
        assert_eq!(fs::read(folder.path().join("there")).unwrap(), b"old");
    }
}
