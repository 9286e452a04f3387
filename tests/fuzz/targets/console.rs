#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| clearml_agent::fuzz::console(bytes));
