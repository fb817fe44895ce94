//! Server and client over a real socket, the work being the test's.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::server::may_ask;
use super::*;
use crate::backup::{Phase, Progress};

/// A server whose work is `work`.
struct Served {
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn serve<F>(work: impl Fn(Request, Progress) -> F + Send + Sync + 'static) -> Served
where
    F: Future<Output = Result<Value, String>> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path()).unwrap();
    let answerer: Answerer =
        Arc::new(move |_, request, progress| -> Work { Box::pin(work(request, progress)) });
    let server = ControlServer::bind(&path, answerer).unwrap();
    let stop = CancellationToken::new();
    Served {
        task: tokio::spawn(server.serve(stop.clone())),
        path,
        stop,
        _folder: folder,
    }
}

impl Served {
    async fn client(&self) -> Client {
        Client::connect(&self.path).await.unwrap().unwrap()
    }

    async fn ask(&self, request: &Request) -> Result<Value, ControlError> {
        self.client().await.ask(request, |_| {}).await
    }

    /// Sends bytes that no client of ours would send; returns the lines that come back.
    async fn send(&self, bytes: Vec<u8>) -> Vec<Event> {
        let path = self.path.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // Cut in the middle of what it does not want to read.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        let text = String::from_utf8(answer.await.unwrap()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn name(request: &Request) -> Value {
    serde_json::to_value(request).unwrap()["ask"].clone()
}

async fn echo(request: Request, _: Progress) -> Result<Value, String> {
    Ok(json!({"asked": name(&request)}))
}

#[tokio::test]
async fn an_answer_and_a_refusal() {
    let served = serve(|request, _| async move {
        match request {
            Request::BackupPrune {} => Err("there is\nno room".to_owned()),
            other => Ok(json!({"asked": name(&other)})),
        }
    });
    assert_eq!(served.client().await.process(), Some(std::process::id()));
    let answer = served.ask(&Request::BackupCreate {}).await.unwrap();
    assert_eq!(answer, json!({"asked": "backup-create"}));
    let error = served.ask(&Request::BackupPrune {}).await.unwrap_err();
    assert_eq!(error.to_string(), "there is\nno room");
}

#[tokio::test]
async fn steps_are_told_and_the_last_line_ends_it() {
    let told = Arc::new(Notify::new());
    let heard = told.clone();
    let served = serve(move |_, progress| {
        let told = told.clone();
        async move {
            progress.tell(Phase::Open, 7, 9);
            told.notified().await;
            Ok(Value::Null)
        }
    });
    let mut steps = Vec::new();
    let answer: Value = served
        .client()
        .await
        .ask(&Request::BackupCreate {}, |step| {
            steps.push(step);
            heard.notify_one();
        })
        .await
        .unwrap();
    assert_eq!(answer, Value::Null);
    let phase = "open".to_owned();
    let (done, total) = (7, 9);
    assert_eq!(steps, [PhaseStep { phase, done, total }]);
}

#[tokio::test]
async fn work_goes_on_when_the_client_has_gone() {
    let (begun, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (finished, mut end) = tokio::sync::mpsc::unbounded_channel();
    let served = serve({
        let (begun, gone) = (begun.clone(), gone.clone());
        move |_, progress| {
            let (begun, gone, finished) = (begun.clone(), gone.clone(), finished.clone());
            async move {
                begun.notify_one();
                gone.notified().await;
                // Steps that nobody hears any more.
                progress.tell(Phase::Copy, 1, 1);
                finished.send(()).map_err(|error| error.to_string())?;
                Ok(Value::Null)
            }
        }
    });
    let client = served.client().await;
    let asked =
        tokio::spawn(async move { client.ask::<Value>(&Request::BackupCreate {}, |_| {}).await });
    begun.notified().await;
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    gone.notify_one();
    end.recv().await.unwrap();
    // Neither is the server hurt: it waits for its connections at the end.
    served.stop.cancel();
    served.task.await.unwrap();
}

#[tokio::test]
async fn work_that_panics_is_a_failure_and_not_the_end() {
    let served = serve(|request, _| async move {
        assert!(request != Request::BackupCreate {}, "on purpose");
        Ok(Value::Null)
    });
    let error = served.ask(&Request::BackupCreate {}).await.unwrap_err();
    assert!(error.to_string().contains("its log says more"), "{error}");
    served.ask(&Request::Status {}).await.unwrap();
}

#[tokio::test]
async fn garbage_is_answered_and_does_no_harm() {
    let served = serve(echo);
    let long = vec![b'x'; 1 << 20];
    for (bytes, text) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "does not understand"),
        (b"\xff\xfe\n".to_vec(), "does not understand"),
        (b"\n".to_vec(), "does not understand"),
        (long, "more than"),
    ] {
        let events = served.send(bytes).await;
        let [Event::Failed { message }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert!(message.contains(text), "{message}");
    }
    // One that ends before its line does has nobody who would listen.
    assert_eq!(served.send(b"{\"ask\":".to_vec()).await, []);
    served.ask(&Request::Status {}).await.unwrap();
}

#[tokio::test]
async fn who_says_nothing_is_cut_and_keeps_nobody_out() {
    let served = serve(echo);
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(UnixStream::connect(&served.path).unwrap());
    }
    // The seventeenth is served when the first ones have been cut.
    served.ask(&Request::Status {}).await.unwrap();
    let cut = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        silent[0].read_to_string(&mut text).unwrap();
        text
    });
    assert!(cut.await.unwrap().contains("no request came"));
}

#[test]
fn the_owner_and_root_may_ask() {
    for (peer, own, may) in [
        (1000, 1000, true),
        (0, 1000, true),
        (1001, 1000, false),
        (1000, 0, false),
    ] {
        assert_eq!(may_ask(peer, own), may, "{peer} asks {own}");
    }
}

#[tokio::test]
async fn the_socket_is_private_and_goes_with_the_server() {
    let served = serve(echo);
    let mode = served.path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.stop.cancel();
    served.task.await.unwrap();
    assert!(!served.path.exists());
    assert!(Client::connect(&served.path).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_killed_node_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path()).unwrap();
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    assert!(Client::connect(&path).await.unwrap().is_none());
    let answerer: Answerer = Arc::new(|_, request, progress| Box::pin(echo(request, progress)));
    let server = ControlServer::bind(&path, answerer.clone()).unwrap();
    assert!(Client::connect(&path).await.unwrap().is_some());
    drop(server);
    assert!(!path.exists());
    // What is no socket is not ours to remove.
    std::fs::write(&path, "notes").unwrap();
    let error = ControlServer::bind(&path, answerer).unwrap_err();
    assert!(matches!(error, ControlError::NotASocket { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"notes");
}

#[tokio::test]
async fn a_node_that_goes_away_is_told_apart_from_one_that_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket_path(folder.path()).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let says = ["", "{\"event\":\"alive\"}\nnonsense\n"];
    let node = std::thread::spawn(move || {
        for text in says {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 17];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    for expected in ["stopped or killed", "another version"] {
        let client = Client::connect(&path).await.unwrap().unwrap();
        let error = client.ask::<Value>(&Request::Status {}, |_| {}).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    node.join().unwrap();
}

#[test]
fn a_folder_too_deep_is_named() {
    let folder = PathBuf::from("/").join("d".repeat(120));
    let error = socket_path(&folder).unwrap_err().to_string();
    assert!(
        error.contains("data_dir") && error.contains("too long"),
        "{error}"
    );
}
