use crate::support::{Setup, get_body, register_body, share, token};
#[test]
fn works() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    let got = node.post("/keyshare/v2", &token(1), &get_body(1)).data();
    assert_eq!(got["ed25519"]["share"], share("ed25519", 1));
    assert!(node.stop().success());
}
