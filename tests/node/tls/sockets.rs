//! Sockets that were opened by a service manager. A shell is the manager: it gets them as its standard input and error
//! and passes them on as descriptors 3 and 4, as sd_listen_fds(3) has it.

use std::net::TcpListener;

use super::clients::curl;
use super::node_of;
use super::pairs::Authority;

#[test]
fn passed_sockets_take_the_place_of_configured_ones() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let api = TcpListener::bind("127.0.0.1:0").unwrap();
    let redirect = TcpListener::bind("127.0.0.1:0").unwrap();
    let (api_port, clear) = (
        api.local_addr().unwrap().port(),
        redirect.local_addr().unwrap().port(),
    );
    let script = "exec 3<&0 4<&2 0</dev/null 2>>\"$HOME/stderr.log\"; \
                  LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=redirect:api exec \"$0\" \"$@\"";
    let node = node_of(&authority, home.path()).start_with(script, redirect.into(), api.into());
    assert_eq!(node.url, format!("https://127.0.0.1:{api_port}"));
    assert_eq!(curl(&authority, &[&node.url]), "Ok");
    assert_eq!(
        curl(&authority, &["-L", &format!("http://127.0.0.1:{clear}")]),
        "Ok"
    );
    node.logs("a socket passed by the service manager takes the place of server.listen");
    assert_eq!(node.stop().code(), Some(0));
}
