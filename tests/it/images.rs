//! The images of the container tests are what they are said to be.

use super::support::images::{self, docker};

/// What this prints in a container, to its end, and its exit code.
fn run(image: &str, script: &str) -> (String, Option<i32>) {
    let output = docker(&[
        "run",
        "--rm",
        "--network=host",
        image,
        "/bin/sh",
        "-c",
        script,
    ])
    .output()
    .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (stdout, output.status.code())
}

/// C-503, C-505: what an image has decides what the agent brings.
#[test]
fn images_have_what_they_are_said_to_have() {
    let has = "for name in python3 git bash env; do command -v $name; done; echo ~";
    let everything = "/usr/bin/python3\n/usr/bin/git\n/usr/bin/bash\n/usr/bin/env";
    let of = |image: &str| run(image, has).0;
    assert_eq!(of(&images::python()), format!("{everything}\n/root"));
    let home = images::USER;
    assert_eq!(
        of(&images::non_root()),
        format!("{everything}\n/home/{home}")
    );
    assert_eq!(of(&images::bare()), "/usr/bin/bash\n/usr/bin/env\n/root");
    let (files, _) = run(&images::empty(), "echo /* /bin/* /lib*");
    assert_eq!(
        files,
        "/bin /dev /etc /proc /sys /tmp /bin/busybox /bin/sh /lib*"
    );
}

/// What a task would install can be had.
#[test]
fn packages_come_into_a_container() {
    let script = "python3 -m venv /tmp/venv && /tmp/venv/bin/pip -q download --no-deps -d /tmp six==1.16.0 && ls /tmp/six*";
    let printed = run(&images::python(), script);
    assert_eq!(
        printed,
        ("/tmp/six-1.16.0-py2.py3-none-any.whl".to_owned(), Some(0))
    );
    let script = "apt-get update -qq && apt-get install -qq -y --no-install-recommends tree >/dev/null && command -v tree";
    let printed = run(&images::bare(), script);
    assert_eq!(printed, ("/usr/bin/tree".to_owned(), Some(0)));
}
