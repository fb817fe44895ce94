//! Commands as operators write them, and as they go wrong.

use std::path::PathBuf;

use tokio::net::unix::pipe;

use super::*;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(300);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn failure(command: &str) -> String {
    let error = run(command, Path::new("/backups/file"), LONG)
        .await
        .unwrap_err();
    error.to_string()
}

#[tokio::test]
async fn the_command_gets_the_files_path_both_ways() {
    let folder = folder();
    let file = folder.path().join("a backup; with $(odd) name");
    std::fs::write(&file, "rows").unwrap();
    run(
        r#"cp "$1" "$1.copy" && cp "$KSNODE_BACKUP_FILE" "$1.other" && test "$0 $#" = "ksnode-backup 1""#,
        &file,
        LONG,
    )
    .await
    .unwrap();
    for suffix in ["copy", "other"] {
        let copy = PathBuf::from(format!("{}.{suffix}", file.display()));
        assert_eq!(std::fs::read(copy).unwrap(), b"rows");
    }
}

#[tokio::test]
async fn its_input_is_empty_and_its_group_its_own() {
    run(r#"test -z "$(cat)" && kill -0 -$$"#, Path::new("x"), LONG)
        .await
        .unwrap();
}

#[test]
fn secrets_of_the_environment_stay_here() {
    let variable = |(name, value): (&str, &str)| (OsString::from(name), OsString::from(value));
    let all = [
        ("PATH", "/bin"),
        ("KSNODE_ADMIN__PASSWORD", "hunter2"),
        ("ADMIN_PASSWORD", "hunter2"),
        ("RCLONE_CONFIG", "/c"),
    ];
    let seen: Vec<_> = inherited(all.map(variable).into_iter()).collect();
    assert_eq!(
        seen,
        [("PATH", "/bin"), ("RCLONE_CONFIG", "/c")].map(variable)
    );
}

#[tokio::test]
async fn a_failure_tells_the_status_and_what_was_said() {
    assert_eq!(
        failure("echo looking; echo no such bucket >&2; exit 3").await,
        "the command of backup.after ended with exit status: 3; it said: looking | no such bucket"
    );
    assert_eq!(
        failure("false").await,
        "the command of backup.after ended with exit status: 1"
    );
    assert!(
        failure("kill -KILL $$")
            .await
            .contains("ended with signal: 9")
    );
    assert!(
        failure("no-such-program-anywhere")
            .await
            .contains("exit status: 127; it said: ")
    );
    assert!(
        failure("echo 'unclosed")
            .await
            .contains("exit status: 2; it said: ")
    );
    assert!(failure("nul\0byte").await.contains("could not be run: "));
}

#[tokio::test]
async fn a_chatty_command_is_not_held_up() {
    let text = failure("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1").await;
    assert!(text.ends_with("x | the end"), "{text}");
    assert!(text.len() < 400);
}

#[tokio::test]
async fn what_it_leaves_in_the_background_is_not_waited_for() {
    let folder = folder();
    let file = folder.path().join("file");
    // It holds the output open until the test removes the file.
    std::fs::write(&file, "").unwrap();
    let command =
        r#"echo begun; (while test -e "$1"; do sleep 0.05; done; echo done > "$1.done") & exit 4"#;
    let error = tokio::time::timeout(LONG, run(command, &file, LONG))
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("exit status: 4; it said: begun"),
        "{error}"
    );
    std::fs::remove_file(&file).unwrap();
    until(|| folder.path().join("file.done").exists()).await;
}

/// A fifo that a command and all it starts hold open: it ends when the last of them does.
struct Lifeline {
    folder: tempfile::TempDir,
    receiver: pipe::Receiver,
}

/// Starts something in the background, says `ready` on the fifo, and waits for ever.
const HANGS: &str = r#"echo begun; exec 9> "$1"; sleep 10000 & echo ready >&9; wait"#;

impl Lifeline {
    fn new() -> Self {
        let folder = folder();
        let path = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
        Self { folder, receiver }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("fifo")
    }

    /// Waits until the command has said `ready`.
    async fn ready(&self) {
        let mut said = [0; 6];
        until(|| matches!(self.receiver.try_read(&mut said), Ok(1..))).await;
        assert_eq!(&said, b"ready\n");
    }

    /// Waits until nobody holds it.
    async fn ended(&self) {
        let mut rest = [0; 16];
        until(|| matches!(self.receiver.try_read(&mut rest), Ok(0))).await;
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    let polled = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(60), polled).await.unwrap();
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_all_it_started() {
    let line = Lifeline::new();
    let limit = Duration::from_secs(90);
    let error = run_until(HANGS, &line.path(), limit, line.ready())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the command of backup.after took longer than 90 s and was killed; it said: begun"
    );
    line.ended().await;
}

#[tokio::test]
async fn the_limit_is_kept() {
    let error = run("sleep 10000", Path::new("x"), Duration::from_millis(1))
        .await
        .unwrap_err();
    assert!(matches!(error, HookError::TooLong { .. }), "{error}");
}

#[tokio::test]
async fn a_command_nobody_waits_for_any_more_is_killed_with_all_it_started() {
    let line = Lifeline::new();
    let path = line.path();
    tokio::select! {
        ended = run(HANGS, &path, LONG) => panic!("{ended:?}"),
        () = line.ready() => {}
    }
    line.ended().await;
}
