//! What the small verbs cost, in instructions that the processor is given (`valgrind --tool=callgrind`): the same number in
//! each run, however busy the machine is. A change must not double one of them.

use std::process::Command;

use super::support::{Script, TestContext};

/// Millions of instructions of the unoptimised build of the tests. Who makes a verb cheaper, or has a good reason to make it
/// dearer, writes the new number here; the failure says it.
const VERSION: u64 = 9;
const HELP: u64 = 57;
const CONFIG: u64 = 78;
const PLAN: u64 = 195;

const MILLION: u64 = 1_000_000;

/// Instructions of one call of the agent, without those of the programs that it starts.
fn instructions(context: &TestContext, words: &[&str]) -> u64 {
    let report = context.folder().join("callgrind.out");
    let mut command = context.beside_agent("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(env!("CARGO_BIN_EXE_clearml-agent"))
        .args(words);
    let finished = context.finish(command);
    assert_eq!(finished.code, 0, "{}\n{}", finished.stdout, finished.stderr);
    let report = std::fs::read_to_string(report).expect("callgrind has written it");
    let totals = report
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    totals.expect("the sum is there").trim().parse().unwrap()
}

#[track_caller]
fn assert_not_doubled(context: &TestContext, words: &[&str], recorded: u64) {
    let counted = instructions(context, words);
    let millions = counted.div_ceil(MILLION);
    assert!(
        counted <= 2 * recorded * MILLION,
        "{words:?} takes {millions} million instructions, more than twice the {recorded} million that are recorded here"
    );
}

#[test]
fn small_verbs_stay_cheap() {
    let valgrind = Command::new("valgrind").arg("--version").output();
    assert!(
        valgrind.is_ok(),
        "valgrind is missing: apt-get install valgrind"
    );
    let context = TestContext::new();
    assert_not_doubled(&context, &["--version"], VERSION);
    assert_not_doubled(&context, &["--help"], HELP);
    assert_not_doubled(&context, &["config"], CONFIG);
    let task = context.create(Script::shell("true"));
    assert_not_doubled(&context, &["execute", "--plan", "--id", &task], PLAN);
}
