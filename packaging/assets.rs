//! Lays out what the admin page sends beside its pages, from `assets/`, for `src/admin/assets.rs`.
//!
//! Styles and scripts are put one after the other, the icons into one sprite; each result is compressed once here instead of
//! at each request, and gets a name that its content decides, so that browsers may keep it for ever. There is no bundler and
//! no minifier: compressed, all of it together is smaller than one photograph.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is sent, by the name that templates use: its media type, and the files that it is made of.
const SENT: &[(&str, &str, &[&str])] = &[
    (
        "page.css",
        "text/css; charset=utf-8",
        &[
            "vendor/modern-normalize.css",
            "vendor/uPlot.min.css",
            "styles/colours.css",
            "styles/frame.css",
            "styles/parts.css",
            "styles/charts.css",
        ],
    ),
    (
        "theme.js",
        "text/javascript; charset=utf-8",
        &["scripts/theme.js"],
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        &["scripts/page.js"],
    ),
    (
        "charts.js",
        "text/javascript; charset=utf-8",
        &["vendor/uPlot.iife.min.js", "scripts/charts.js"],
    ),
    ("icon.svg", "image/svg+xml", &["icon.svg"]),
];

/// Writes the results and the table of them below `OUT_DIR`.
///
/// # Errors
/// A file cannot be read or written.
pub(crate) fn lay_out() -> Outcome<()> {
    let assets = Path::new("assets");
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed=packaging/assets.rs");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut table = String::from("&[\n");
    for (name, media_type, files) in SENT {
        let mut content = Vec::new();
        for file in *files {
            content
                .extend(fs::read(assets.join(file)).map_err(|error| format!("{file}: {error}"))?);
            content.push(b'\n');
        }
        add(&mut table, &out, name, media_type, &content)?;
    }
    let sprite = sprite(&assets.join("icons"))?;
    add(
        &mut table,
        &out,
        "icons.svg",
        "image/svg+xml",
        sprite.as_bytes(),
    )?;
    table.push(']');
    fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// Puts a result beside its compressed form, and both into the table.
fn add(
    table: &mut String,
    out: &Path,
    name: &str,
    media_type: &str,
    content: &[u8],
) -> Outcome<()> {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let (stem, ending) = name.split_once('.').ok_or("a name without an ending")?;
    let sent = format!("{stem}-{:016x}.{ending}", hasher.finish());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    let (plain, compressed) = (out.join(name), out.join(format!("{name}.gz")));
    fs::write(&plain, content)?;
    fs::write(&compressed, encoder.finish()?)?;
    writeln!(
        table,
        "Asset {{ name: {name:?}, path: {:?}, media_type: {media_type:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({compressed:?}) }},",
        format!("/admin/assets/{sent}"),
    )?;
    Ok(())
}

/// One file of all icons. A page refers to one by the name of its file.
fn sprite(folder: &Path) -> Outcome<String> {
    let mut files = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Outcome<Vec<PathBuf>>>()?;
    files.sort();
    let mut sprite = String::from(r#"<svg xmlns="http://www.w3.org/2000/svg">"#);
    for file in files {
        let name = file.file_stem().ok_or("no name")?.to_string_lossy();
        let icon = fs::read_to_string(&file)?;
        let shapes = icon
            .split_once("<svg")
            .and_then(|(_, rest)| rest.split_once('>'))
            .and_then(|(_, rest)| rest.split_once("</svg>"))
            .map(|(shapes, _)| shapes.trim())
            .ok_or_else(|| format!("{}: no icon", file.display()))?;
        write!(
            sprite,
            r#"<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke-width="2" stroke-linecap="round" stroke-linejoin="round">{shapes}</symbol>"#
        )?;
    }
    sprite.push_str("</svg>\n");
    Ok(sprite)
}
