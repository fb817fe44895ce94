//! A `pg_dump -Fc` file, read table by table through `pg_restore` to a pipe.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;

use tokio::io::{AsyncBufRead, BufReader};
use tokio::process::{Child, Command};

use super::{End, OkoError, Rows, read_line};

const PROGRAM: &str = "pg_restore";

/// Of what the program says no more is repeated.
const SAID: u64 = 2000;

#[derive(Debug)]
pub(super) struct Dump {
    path: PathBuf,
    tables: Vec<String>,
}

/// The program at work.
pub(super) struct Running {
    path: PathBuf,
    child: Child,
    said: File,
}

impl Dump {
    /// Looks what is in it.
    pub(super) async fn open(path: &Path) -> Result<Self, OkoError> {
        let path = std::path::absolute(path).map_err(|error| OkoError::io(path, error))?;
        // Told as what it is, not as what the program makes of it.
        drop(File::open(&path).map_err(|error| OkoError::io(&path, error))?);
        let (mut running, mut lines) = Running::start(&path, &["--list"])?;
        let (mut tables, mut line) = (Vec::new(), Vec::new());
        while read_line(&mut lines, &mut line)
            .await
            .map_err(|error| running.failed(error.to_string()))?
        {
            tables.extend(table_of(&String::from_utf8_lossy(&line)));
        }
        running.finish(&mut lines).await?;
        Ok(Self { path, tables })
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.iter().any(|known| known == table)
    }

    pub(super) async fn rows(&self, table: &str) -> Result<Rows, OkoError> {
        let table = format!("--table={table}");
        let arguments = ["--data-only", "--schema=public", &table, "--file=-"];
        let (mut running, mut lines) = Running::start(&self.path, &arguments)?;
        let mut line = Vec::new();
        loop {
            let read = read_line(&mut lines, &mut line).await;
            if !read.map_err(|error| running.failed(error.to_string()))? {
                return Err(running.cut_off().await);
            }
            if let Some(columns) = columns_of(&String::from_utf8_lossy(&line)) {
                return Ok(Rows {
                    columns,
                    lines,
                    line,
                    end: End::Dump(Box::new(running)),
                });
            }
        }
    }
}

impl Running {
    fn start(
        path: &Path,
        arguments: &[&str],
    ) -> Result<(Self, Pin<Box<dyn AsyncBufRead + Send>>), OkoError> {
        let mut command = Command::new(PROGRAM);
        // A file takes whatever the program says; a pipe that nobody reads would stop it.
        let said = tempfile::tempfile().map_err(|error| OkoError::io(path, error))?;
        let stderr = said
            .try_clone()
            .map_err(|error| OkoError::io(path, error))?;
        command
            .args(arguments)
            .arg(path)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(OkoError::NoProgram)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| OkoError::NoProgram(io::ErrorKind::BrokenPipe.into()))?;
        let running = Self {
            path: path.to_owned(),
            child,
            said,
        };
        Ok((running, Box::pin(BufReader::with_capacity(1 << 16, stdout))))
    }

    /// Reads what is left and sees whether the program was content.
    pub(super) async fn finish(
        &mut self,
        lines: &mut Pin<Box<dyn AsyncBufRead + Send>>,
    ) -> Result<(), OkoError> {
        let mut rest = Vec::new();
        while read_line(lines, &mut rest)
            .await
            .map_err(|error| self.failed(error.to_string()))?
        {}
        let status = self.child.wait().await;
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.failed(format!("{PROGRAM} ended with {status}"))),
            Err(error) => Err(self.failed(error.to_string())),
        }
    }

    /// Its output ended too early.
    pub(super) async fn cut_off(&mut self) -> OkoError {
        let status = self.child.wait().await;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        self.failed(format!("{PROGRAM} ended early ({status})"))
    }

    /// The error, with what the program said.
    pub(super) fn failed(&self, reason: String) -> OkoError {
        let mut said = String::new();
        let mut file = &self.said;
        // What cannot be read again is not said again.
        let read = file
            .rewind()
            .and_then(|()| file.take(SAID).read_to_string(&mut said));
        let said = said.lines().map(str::trim).collect::<Vec<_>>().join("; ");
        OkoError::Dump {
            path: self.path.clone(),
            reason: match read {
                Ok(length) if length > 0 => format!("{reason}: {said}"),
                _ => reason,
            },
        }
    }
}

/// The table whose rows a line of the list announces: `3352; 0 16386 TABLE DATA public 2_users owner`.
fn table_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" TABLE DATA public ")?;
    let (table, _owner) = rest.rsplit_once(' ')?;
    Some(table.to_owned())
}

/// The columns of `COPY public."2_users" (user_id, status) FROM stdin;`.
fn columns_of(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("COPY ")?.strip_suffix(") FROM stdin;")?;
    let (_, list) = rest.split_once(" (")?;
    Some(
        list.split(", ")
            .map(|name| name.trim_matches('"').to_owned())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_headers_are_understood() {
        let list = "3352; 0 16386 TABLE DATA public 2_users oko";
        assert_eq!(table_of(list).as_deref(), Some("2_users"));
        assert_eq!(table_of("216; 1259 16386 TABLE public 2_users oko"), None);
        assert_eq!(table_of("3352; 0 1 TABLE DATA other 2_users oko"), None);
        let header = "COPY public.\"2_users\" (user_id, \"status\", aux) FROM stdin;";
        assert_eq!(columns_of(header).unwrap(), ["user_id", "status", "aux"]);
        assert_eq!(columns_of("SET client_encoding = 'UTF8';"), None);
    }
}
