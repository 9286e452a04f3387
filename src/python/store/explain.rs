//! Why an environment is or is not in the store.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::folders::{Listed, entries};
use super::key::{Input, StoreInputs, StoreKey};

/// What a lookup would find.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The key that is looked for; none where the packages do not determine it (E-241).
    pub key: Option<StoreKey>,
    /// What it is made of.
    pub inputs: Vec<Input>,
    /// The entry that has it.
    pub entry: Option<PathBuf>,
    /// Where there is none, the entry that is most alike.
    pub nearest: Option<Nearest>,
}

/// An entry that is not the one.
#[derive(Clone, Debug, Serialize)]
pub struct Nearest {
    /// Its folder.
    pub entry: PathBuf,
    /// What keeps it from being the one.
    pub differences: Vec<Difference>,
}

/// An input that the two do not have in common.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// What it is.
    pub name: String,
    /// The values of the entry.
    pub entry: Vec<String>,
    /// The values of what is looked for.
    pub wanted: Vec<String>,
}

impl StoreInputs {
    /// Compares these inputs with the entries of the store in this folder.
    pub fn explain(&self, store: &Path) -> io::Result<Explanation> {
        let entries = entries(store)?;
        let key = self.determine_packages().then(|| self.key());
        let hit = key
            .as_ref()
            .and_then(|key| entries.iter().find(|entry| entry.is_for(key)));
        let entry = hit.map(|entry| entry.folder.clone());
        let same_kind = entries
            .into_iter()
            .filter(|other| other.description.kind == self.kind && entry.is_none());
        let candidates = same_kind.flat_map(|other| {
            let inputs = other.description.inputs.clone();
            let listed = Listed::from(other);
            inputs.into_iter().map(move |inputs| Nearest {
                entry: listed.path.clone(),
                differences: self.differences(&inputs),
            })
        });
        let nearest = candidates.min_by_key(|one| {
            let values = |difference: &Difference| difference.entry.len() + difference.wanted.len();
            one.differences.iter().map(values).sum::<usize>()
        });
        Ok(Explanation {
            key,
            inputs: self.lines(),
            entry,
            nearest,
        })
    }

    /// What the two do not have in common, input by input.
    fn differences(&self, other: &Self) -> Vec<Difference> {
        let (wanted, known) = (self.lines(), other.lines());
        let mut differences: Vec<Difference> = Vec::new();
        let mut note = |input: &Input, is_wanted: bool| {
            let place = differences.iter().position(|one| one.name == input.name);
            let place = place.unwrap_or_else(|| {
                differences.push(Difference {
                    name: input.name.clone(),
                    entry: Vec::new(),
                    wanted: Vec::new(),
                });
                differences.len() - 1
            });
            let difference = &mut differences[place];
            let values = if is_wanted {
                &mut difference.wanted
            } else {
                &mut difference.entry
            };
            values.push(input.value.clone());
        };
        for input in wanted.iter().filter(|input| !known.contains(input)) {
            note(input, true);
        }
        for input in known.iter().filter(|input| !wanted.contains(input)) {
            note(input, false);
        }
        differences
    }
}
