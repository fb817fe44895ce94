//! The parser that `KSNODE_FUZZ_TARGET` names, for libFuzzer (`tests/fuzz/run`).
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static READ: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("KSNODE_FUZZ_TARGET").expect("KSNODE_FUZZ_TARGET names a parser");
    ksnode::fuzzing::target(&name).expect("a parser of src/fuzzing.rs")
});

fuzz_target!(|bytes: &[u8]| READ(bytes));
