//! The keys of the first user, as they are given to the program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[test]
fn the_environment_names_the_keys_of_the_first_user() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_local-server"))
        .args(["--listen", "127.0.0.1:0"])
        .env("CLEARML_API_ACCESS_KEY", "OWNKEY")
        .env("CLEARML_API_SECRET_KEY", "own-secret")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(server.stdout.take().expect("a pipe")).lines();
    let said: Vec<String> = lines.map_while(Result::ok).take(4).collect();
    server.kill().expect("it runs");
    server.wait().expect("it has ended");
    let keys = ["Access key:  OWNKEY", "Secret key:  own-secret"];
    assert_eq!(said[2..], keys, "{said:?}");
}
