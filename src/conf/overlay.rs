//! Which templates there are: the shipped ones, and an admin's own in `templates.d/`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::shipped::SHIPPED;

/// Below the prefix.
const FOLDER: &str = "templates.d";
/// More than any template is.
const LARGEST: u64 = 4 << 20;

/// Where a template comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Shipped,
    File(PathBuf),
}

/// All templates by name, without `.template`.
#[derive(Debug, Default)]
pub struct Templates {
    pub all: BTreeMap<String, (String, Origin)>,
    /// Shipped ones that have changed since they were copied, in words.
    pub notes: Vec<String>,
}

impl Templates {
    /// The shipped ones with those of `templates.d/` over them; or those of `folder` alone.
    ///
    /// # Errors
    /// What could not be read.
    pub fn load(prefix: &Path, folder: Option<&Path>) -> Result<Self, String> {
        let mut templates = Self::default();
        if let Some(folder) = folder {
            templates.read(folder)?;
            if templates.all.is_empty() {
                return Err(format!(
                    "there is no template (*.template) in \"{}\"",
                    folder.display()
                ));
            }
            return Ok(templates);
        }
        for (name, text) in SHIPPED {
            templates.all.insert((*name).to_owned(), ((*text).to_owned(), Origin::Shipped));
        }
        let folder = prefix.join(FOLDER);
        if folder.is_dir() {
            templates.read(&folder)?;
        }
        for (name, shipped) in SHIPPED {
            let kept = fs::read_to_string(kept(&folder, name)).unwrap_or_default();
            if !kept.is_empty() && kept.trim() != hash(shipped) && folder.join(file(name)).exists()
            {
                templates.notes.push(format!(
                    "the shipped {} has changed since yours was made of it; \"gatepost conf template \
                     diff {name}\" shows how they differ, \"gatepost conf template copy --keep {name}\" \
                     says that you have seen it",
                    file(name)
                ));
            }
        }
        Ok(templates)
    }

    fn read(&mut self, folder: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: io::Error| {
            format!("reading \"{}\" failed ({error})", path.display())
        };
        let entries = fs::read_dir(folder).map_err(|error| failed(folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| failed(folder, error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(stem) = name.strip_suffix(".template").filter(|stem| !stem.is_empty()) else {
                continue;
            };
            let about = fs::metadata(&path).map_err(|error| failed(&path, error))?;
            if about.len() > LARGEST || !about.is_file() {
                return Err(failed(&path, io::Error::other("it is no file, or too large")));
            }
            let text = fs::read_to_string(&path).map_err(|error| failed(&path, error))?;
            self.all.insert(stem.to_owned(), (text, Origin::File(path.clone())));
        }
        Ok(())
    }

    /// The text of a shipped template.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn shipped(name: &str) -> Result<(&'static str, &'static str), String> {
        let name = name.strip_suffix(".template").unwrap_or(name);
        SHIPPED.iter().copied().find(|(known, _)| *known == name).ok_or_else(|| {
            let shown: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            format!("no template \"{shown}\" is shipped")
        })
    }

    /// Puts the shipped template into `templates.d/`, to be changed there; with `keep` the one that is
    /// there stays and only what it was made of is noted anew.
    ///
    /// # Errors
    /// One is there already, or it cannot be written.
    pub fn copy(prefix: &Path, name: &str, keep: bool) -> Result<PathBuf, String> {
        let (name, text) = Self::shipped(name)?;
        let folder = prefix.join(FOLDER);
        let path = folder.join(file(name));
        let failed = |error: io::Error| format!("writing \"{}\" failed ({error})", path.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        if !keep {
            if path.exists() {
                return Err(format!("\"{}\" is there already", path.display()));
            }
            fs::write(&path, text).map_err(failed)?;
        }
        fs::write(kept(&folder, name), format!("{}\n", hash(text))).map_err(failed)?;
        Ok(path)
    }
}

fn file(name: &str) -> String {
    format!("{name}.template")
}

/// Where it is kept what the shipped template was when it was copied.
fn kept(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.sha256"))
}

fn hash(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
