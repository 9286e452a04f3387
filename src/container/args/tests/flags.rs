//! Flags and their values, told apart.
//!
//! Compiled under `#[cfg(test)]` only.

use super::super::{Flags, GivenFlag, Trouble, flags, without};

fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap()
}

fn pairs(found: &Flags) -> Vec<(&str, &str)> {
    found
        .given
        .iter()
        .map(|flag| (flag.name.as_str(), flag.value.as_deref().unwrap_or("?")))
        .collect()
}

fn remove(line: &str, names: &[&str]) -> String {
    let words = words(line);
    let kept = without(&words, |flag| names.contains(&flag.name.as_str()));
    kept.join(" ")
}

/// C-041
#[test]
fn long_and_short_joined_and_apart() {
    let line = words("--ipc=host -v a:b -itv c:d -eX=Y -e=Z=1 --net host -i=false --init IMAGE -x");
    let found = flags(&line);
    assert_eq!(
        pairs(&found),
        [
            ("ipc", "host"),
            ("volume", "a:b"),
            ("interactive", "true"),
            ("tty", "true"),
            ("volume", "c:d"),
            ("env", "X=Y"),
            ("env", "Z=1"),
            ("network", "host"),
            ("interactive", "false"),
            ("init", "true"),
        ]
    );
    assert_eq!(line[found.rest], "IMAGE");
    assert!(found.given.iter().all(|flag| flag.trouble.is_none()));
    assert!(!found.given[8].is_on() && found.given[9].is_on());
}

#[test]
fn two_dashes_end_the_flags_and_one_dash_is_a_word() {
    let found = flags(&words("-t -- -i"));
    assert_eq!((pairs(&found), found.rest), (vec![("tty", "true")], 2));
    assert_eq!(flags(&words("- -i")).rest, 0);
    assert_eq!(flags(&words("-t -i")).rest, 2);
    assert_eq!(flags(&[]).rest, 0);
}

#[test]
fn what_docker_refuses_is_kept_and_says_so() {
    let trouble = |line: &str| -> Vec<(String, Option<String>, Option<Trouble>)> {
        let found = flags(&words(line)).given;
        let what = |flag: GivenFlag| (flag.name, flag.value, flag.trouble);
        found.into_iter().map(what).collect()
    };
    let unknown = Some(Trouble::Unknown);
    assert_eq!(
        trouble("--foo bar --foo --foo=x -x -x y -xy"),
        [
            ("foo".to_owned(), Some("bar".to_owned()), unknown),
            ("foo".to_owned(), None, unknown),
            ("foo".to_owned(), Some("x".to_owned()), unknown),
            ("x".to_owned(), None, unknown),
            ("x".to_owned(), Some("y".to_owned()), unknown),
            ("x".to_owned(), Some("y".to_owned()), unknown),
        ]
    );
    assert_eq!(
        trouble("-t -v")[1],
        ("volume".to_owned(), None, Some(Trouble::ValueMissing))
    );
    let nearest = |line| flags(&words(line)).given[0].nearest();
    assert_eq!(nearest("--shm_size"), Some("shm-size"));
    assert_eq!(nearest("--netwrok=host"), Some("network"));
    assert_eq!((nearest("--zzz"), nearest("-x")), (None, None));
    assert_eq!(trouble("---x")[0].2, Some(Trouble::Syntax));
    assert_eq!(trouble("--=x")[0].2, Some(Trouble::Syntax));
}

/// C-037, C-041
#[test]
fn flags_go_with_their_values_and_letters_alone() {
    let recorded = "--network host -it --privileged -v=/a/b:/c/d -v /c/e:/f/g --rm";
    assert_eq!(
        remove(recorded, &["network", "privileged"]),
        "-it -v=/a/b:/c/d -v /c/e:/f/g --rm"
    );
    assert_eq!(
        remove(recorded, &["volume"]),
        "--network host -it --privileged --rm"
    );
    assert_eq!(remove("-itv a:b -d", &["tty"]), "-iv a:b -d");
    assert_eq!(remove("-itv a:b -d", &["volume"]), "-it -d");
    assert_eq!(remove("-itva:b -d", &["volume", "interactive"]), "-t -d");
    assert_eq!(remove("-t=false -i", &["tty"]), "-i");
    assert_eq!(
        remove(
            "--net=host --privileged=false -p 1:1 IMAGE -p 2:2",
            &["network", "publish"]
        ),
        "--privileged=false IMAGE -p 2:2"
    );
    assert_eq!(remove("--strange x --rm", &["strange"]), "--rm");
    assert_eq!(remove("--entrypoint", &["entrypoint"]), "");
}

/// C-061
#[test]
fn a_value_can_be_written_anew_in_its_place() {
    for (line, expected) in [
        ("-p 80:80", "-p 81:81"),
        ("-p80:80", "-p81:81"),
        ("-p=80:80", "-p=81:81"),
        ("-itp 80:80", "-itp 81:81"),
        ("-itp80:80 x", "-itp81:81 x"),
        ("--publish=80:80", "--publish=81:81"),
        ("--publish 80:80", "--publish 81:81"),
    ] {
        let mut words = words(line);
        let found = flags(&words);
        let flag = found.given.iter().find(|f| f.name == "publish").unwrap();
        let (word, byte) = flag.value_at.unwrap();
        assert_eq!(words[word][byte..], *flag.value.as_deref().unwrap());
        words[word].replace_range(byte.., "81:81");
        assert_eq!(words.join(" "), expected);
    }
}

proptest::proptest! {
    #[test]
    fn random_words_are_no_trouble(words: Vec<String>, dashed in proptest::collection::vec("-{1,3}[a-zé=]{0,4}", 0..6)) {
        for words in [words, dashed] {
            let found = flags(&words);
            assert!(found.rest <= words.len());
            assert_eq!(without(&words, |_| false), words);
            without(&words, |flag| flag.trouble.is_none());
            let none = without(&words, |_| true);
            assert!(flags(&none).given.is_empty(), "{none:?}");
        }
    }
}
