use std::sync::mpsc;

use super::*;

const KEY: &str = "server.listen";

fn listener() -> (std::net::TcpListener, SocketAddr) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address where nobody listens.
fn free() -> SocketAddr {
    listener().1
}

fn kept(socket: std::net::TcpListener, address: SocketAddr) -> KeptSocket {
    let name = KeptSocket::name_for(address);
    KeptSocket { name, socket }
}

#[tokio::test]
async fn what_was_kept_is_used_and_what_is_new_is_given_to_be_kept() {
    let (told, messages) = mpsc::channel();
    let manager = Manager::telling(None, told);
    let (socket, known) = listener();
    // Whoever connects while the node is away waits for its next run.
    let waiting = std::net::TcpStream::connect(known).unwrap();
    let new = free();
    let mut fitting = Kept::fitting(vec![kept(socket, known)], &[known, new], &manager);
    let listeners = fitting.or_bind(vec![], (KEY, &[known, new])).unwrap();
    let addresses = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap());
    assert_eq!(addresses.collect::<Vec<_>>(), [known, new]);
    let (_, peer) = listeners[0].accept().await.unwrap();
    assert_eq!(peer, waiting.local_addr().unwrap());
    let told: Vec<_> = messages.try_iter().collect();
    let name = KeptSocket::name_for(new);
    assert_eq!(told, [(format!("FDSTORE=1\nFDNAME={name}"), 1)]);
}

#[tokio::test]
async fn what_fits_nothing_is_closed_before_anything_is_bound() {
    let (told, messages) = mpsc::channel();
    let manager = Manager::telling(None, told);
    let (socket, old) = listener();
    // The same address again, as another kind of address could overlap it: it is free.
    let mut fitting = Kept::fitting(vec![kept(socket, old)], &[], &manager);
    assert_eq!(fitting.or_bind(vec![], (KEY, &[old])).unwrap().len(), 1);
    let told: Vec<String> = messages.try_iter().map(|(text, _)| text).collect();
    let name = KeptSocket::name_for(old);
    assert_eq!(
        told,
        [
            format!("FDSTOREREMOVE=1\nFDNAME={name}"),
            "BARRIER=1".to_owned(),
            format!("FDSTORE=1\nFDNAME={name}"),
        ]
    );
}

#[tokio::test]
async fn port_0_is_never_what_was_kept() {
    let (told, messages) = mpsc::channel();
    let manager = Manager::telling(None, told);
    let any = "127.0.0.1:0".parse().unwrap();
    let (socket, old) = listener();
    let mut fitting = Kept::fitting(vec![kept(socket, old)], &[any], &manager);
    let listeners = fitting.or_bind(vec![], (KEY, &[any])).unwrap();
    assert_eq!(listeners.len(), 1);
    let told: Vec<String> = messages.try_iter().map(|(text, _)| text).collect();
    assert!(
        told.iter().all(|text| !text.contains("FDSTORE=1")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|text| text.contains("FDSTOREREMOVE=1")),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_socket_unit_wins_and_the_copy_of_what_it_replaces_goes() {
    let (told, messages) = mpsc::channel();
    let manager = Manager::telling(None, told);
    let (unit, at) = listener();
    let adopted = adopt(vec![unit], (KEY, &[free()])).unwrap();
    let mut fitting = Kept::fitting(vec![], &[], &manager);
    let listeners = fitting.or_bind(adopted, (KEY, &[free()])).unwrap();
    assert_eq!(listeners[0].local_addr().unwrap(), at);
    assert!(messages.try_recv().is_err());
}
