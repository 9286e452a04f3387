//! Which variables of a container have secrets, as far as can be told (C-142, C-408).

use crate::secrets;
use crate::settings::mask_url_passwords;

/// The names of those whose name says so, whose value is known as a secret, or is a URL with a password.
pub fn secret_variables(variables: &[String]) -> Vec<String> {
    let mut names: Vec<String> = variables
        .iter()
        .filter_map(|variable| {
            let (name, value) = variable.split_once('=')?;
            let is_secret = secrets::may_name_a_secret(name)
                || secrets::mask(value) != value
                || mask_url_passwords(value) != value;
            is_secret.then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-408
    #[test]
    fn names_and_values_tell_of_secrets() {
        let variables = [
            "A=1",
            "MY_TOKEN=t",
            "INDEX=https://u:p@h/",
            "A_KEY=k",
            "TOKEN",
        ];
        let names = secret_variables(&variables.map(str::to_owned));
        assert_eq!(names, ["A_KEY", "INDEX", "MY_TOKEN"]);
    }
}
