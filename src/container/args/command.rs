//! A command line of `docker run`, read but not yet understood.

use super::flags::{GivenFlag, Trouble, flags, truth};
use super::table::{self, Takes};
use super::values::{bytes, integer};
use super::{ArgsError, limits};

/// A command line of `docker run`: flags, image, and the command in it.
#[derive(Clone)]
pub struct RunCommand {
    given: Vec<GivenFlag>,
    image: String,
    command: Vec<String>,
}

impl std::fmt::Debug for RunCommand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values of flags and words of the command may be secrets.
        let names: Vec<&str> = self.given.iter().map(|flag| flag.name.as_str()).collect();
        f.debug_struct("RunCommand")
            .field("flags", &names)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

/// Reads the words after `docker run`. Fails for a flag that docker does not know, and names it.
pub fn parse(words: &[String]) -> Result<RunCommand, ArgsError> {
    let found = flags(words);
    for flag in &found.given {
        let dashes = if flag.letter_at.is_some() { "-" } else { "--" };
        let written = format!("{dashes}{}", flag.written);
        match flag.trouble {
            Some(Trouble::Unknown) => {
                return Err(ArgsError::UnknownFlag {
                    flag: written,
                    nearest: flag.nearest(),
                });
            }
            Some(Trouble::ValueMissing) => return Err(ArgsError::ValueMissing(written)),
            Some(Trouble::Syntax) => return Err(ArgsError::Syntax(written)),
            None => {}
        }
        if let Some(known) = table::named(&flag.name)
            && known.takes == Takes::Truth
            && let Some(value) = flag.value.as_deref()
            && truth(value).is_none()
        {
            return Err(ArgsError::value(
                known.name,
                value,
                "it is neither true nor false",
            ));
        }
    }
    let image = words.get(found.rest).filter(|image| !image.is_empty());
    Ok(RunCommand {
        given: found.given,
        image: image.ok_or(ArgsError::ImageMissing)?.clone(),
        command: words[found.rest + 1..].to_vec(),
    })
}

impl RunCommand {
    /// The image.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// The words behind the image.
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Whether this flag is given, by its long name without dashes.
    pub fn has(&self, flag: &str) -> bool {
        self.given.iter().any(|given| given.name == flag)
    }

    /// The last value of this flag.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.values(flag).last()
    }

    /// All values of this flag, in their order.
    pub fn values<'a, 'b>(&'a self, flag: &'b str) -> impl Iterator<Item = &'a str> + use<'a, 'b> {
        let given = self.given.iter().filter(move |given| given.name == flag);
        given.filter_map(|given| given.value.as_deref())
    }

    /// Whether this switch is on. The last word on it holds.
    pub fn is_on(&self, flag: &str) -> bool {
        self.switch(flag) == Some(true)
    }

    pub(super) fn switch(&self, flag: &str) -> Option<bool> {
        self.value(flag).and_then(truth)
    }

    /// The last value, unless it is empty.
    pub(super) fn text(&self, flag: &str) -> Option<String> {
        let value = self.value(flag).filter(|value| !value.is_empty());
        value.map(str::to_owned)
    }

    /// All values, unless there are none.
    pub(super) fn list(&self, flag: &str) -> Option<Vec<String>> {
        let values: Vec<String> = self.values(flag).map(str::to_owned).collect();
        Some(values).filter(|values| !values.is_empty())
    }

    /// The last value. Each one has to be one that `read` takes.
    pub(super) fn read<T>(
        &self,
        flag: &'static str,
        reason: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ArgsError> {
        let mut last = None;
        for value in self.values(flag) {
            let value = read(value).ok_or_else(|| ArgsError::value(flag, value, reason))?;
            last = Some(value);
        }
        Ok(last)
    }

    pub(super) fn number(&self, flag: &'static str) -> Result<Option<i64>, ArgsError> {
        self.read(flag, "it is no whole number", integer)
    }

    pub(super) fn size(&self, flag: &'static str) -> Result<Option<i64>, ArgsError> {
        self.read(flag, limits::NO_SIZE, bytes)
    }
}
