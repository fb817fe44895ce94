//! `ksnode manual`: the manual's pages, made from the command line's own definition, so that they cannot tell of flags
//! that are not there. For packages; hidden from the help.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::Cli;

/// What the definition does not know, on the page of the program itself.
const MORE: &str = r#".SH "EXIT STATUS"
0 done; 1 failed; 2 the command line is wrong; 78 the configuration is wrong.
.SH ENVIRONMENT
Every key of the configuration is a variable too: KSNODE_, then section and key in capitals with two underscores between
them, such as KSNODE_SERVER__LISTEN. It wins over the file, and a flag wins over both.
.SH FILES
.TP
/etc/ksnode/ksnode.toml
The configuration; each key is described in /usr/share/doc/ksnode/ksnode.toml.
.TP
/etc/ksnode/secret
The encryption secret. Without it the shares cannot be read: keep a copy elsewhere.
.TP
/var/lib/ksnode
The database.
.TP
/var/backups/ksnode
The backups.
.SH "SEE ALSO"
The operator's guide: /usr/share/doc/ksnode/GUIDE.md
"#;

/// What `ksnode manual` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The folder that the pages are written into
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes a page for the program and one for each command: `ksnode.1`, `ksnode-backup-create.1`.
///
/// # Errors
/// The folder cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let source = format!("ksnode {}", command.get_version().unwrap_or_default());
    std::fs::create_dir_all(folder)
        .and_then(|()| write_pages(&command, &source, MORE, folder))
        .with_context(|| format!("the manual cannot be written to {}", folder.display()))
}

fn write_pages(command: &Command, source: &str, more: &str, folder: &Path) -> std::io::Result<()> {
    let shown = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    for command in shown {
        write_pages(command, source, "", folder)?;
    }
    // The date is an empty argument as troff writes it: what the pages say is as old as the program.
    let page = Man::new(command.clone())
        .date("\"\"")
        .source(source)
        .manual("ksnode");
    let mut text = Vec::new();
    page.render(&mut text)?;
    text.extend_from_slice(more.as_bytes());
    std::fs::write(folder.join(page.get_filename()), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_unless_it_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let arguments = Arguments {
            folder: folder.path().join("man1"),
        };
        run(&arguments).unwrap();
        let page = |name: &str| std::fs::read_to_string(arguments.folder.join(name));
        assert!(page("ksnode.1").unwrap().ends_with(MORE));
        let create = page("ksnode-backup-create.1").unwrap();
        assert!(create.contains("Make a backup now"), "{create}");
        assert!(!create.contains("/etc/ksnode/secret"), "{create}");
        for hidden in ["ksnode-manual.1", "ksnode-help.1"] {
            assert!(page(hidden).is_err(), "{hidden}");
        }
    }
}
