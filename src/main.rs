//! The command line of ksnode: parse, dispatch, exit code.

fn main() {}
