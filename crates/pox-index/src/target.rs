//! Which database: a file, or a server.
//!
//! A password never comes with the name: everybody on the machine sees a program's arguments. It comes from the environment or
//! from the user's password file, as PostgreSQL's own programs have it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Most bytes of a password file.
const MAX_PASSWORD_FILE: u64 = 64 * 1024;

/// Where an index is kept.
#[derive(Debug, Clone)]
pub enum Target {
    /// Nowhere: it ends with the program.
    Memory,
    /// SQLite in a file.
    File(PathBuf),
    /// PostgreSQL.
    Postgres(Box<postgres::Config>),
}

/// A text names no database.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// PostgreSQL's driver does not understand it.
    #[error("not a PostgreSQL URL: {0}")]
    Url(String),
    /// There is a password in it.
    #[error("a password in the database's name can be seen by everybody on this machine")]
    Password,
    /// The text is empty.
    #[error("the name of the database is empty")]
    Empty,
}

/// Where PostgreSQL's programs look for a password, as the environment has it.
#[derive(Clone, Default)]
pub struct Passwords {
    /// `PGPASSWORD`.
    pub password: Option<String>,
    /// `PGPASSFILE`, or `.pgpass` in the user's folder.
    pub file: Option<PathBuf>,
}

impl FromStr for Target {
    type Err = BadTarget;

    /// A URL with `postgres://` or `postgresql://`, or else a file.
    fn from_str(text: &str) -> Result<Self, BadTarget> {
        if text.is_empty() {
            return Err(BadTarget::Empty);
        }
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Ok(Self::File(PathBuf::from(text)));
        }
        // The driver's words can repeat parts of the URL, a password among them.
        let config: postgres::Config = text
            .parse()
            .map_err(|error: postgres::Error| BadTarget::Url(without_quotes(&error.to_string())))?;
        Ok(Self::Postgres(Box::new(config)))
    }
}

impl Target {
    /// The same, if there is no password in it.
    ///
    /// # Errors
    /// There is one.
    pub fn without_password(self) -> Result<Self, BadTarget> {
        match self {
            Self::Postgres(config) if config.get_password().is_some() => Err(BadTarget::Password),
            other => Ok(other),
        }
    }

    /// The same with the password that these places have for it, if it has none.
    #[must_use]
    pub fn with_passwords(mut self, passwords: &Passwords) -> Self {
        if let Self::Postgres(config) = &mut self
            && config.get_password().is_none()
        {
            let found = passwords.password.clone().or_else(|| {
                let file = passwords.file.as_deref().filter(|file| is_private(file))?;
                let mut text = String::new();
                fs::File::open(file).ok()?.take(MAX_PASSWORD_FILE).read_to_string(&mut text).ok()?;
                password(&text, config)
            });
            if let Some(found) = found {
                config.password(found);
            }
        }
        self
    }
}

/// The password that a file of PostgreSQL's form has for a server: `host:port:database:user:password`, `*` for any, and a
/// backslash before a colon or backslash that is meant.
fn password(text: &str, config: &postgres::Config) -> Option<String> {
    use postgres::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        // What a socket's folder is written as.
        Some(Host::Unix(_)) | None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user()?;
    let wanted = [host.as_str(), &port, config.get_dbname().unwrap_or(user), user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = fields(line);
        let password = (fields.len() == 5).then(|| fields.pop())??;
        let fits = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then_some(password)
    })
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let is_last = fields.len() == 5;
        match (character, fields.last_mut()) {
            ('\\', Some(field)) => field.extend(characters.next()),
            (':', _) if !is_last => fields.push(String::new()),
            (other, Some(field)) => field.push(other),
            (_, None) => {}
        }
    }
    fields
}

/// Whether nobody else can read the file; PostgreSQL's programs take no other.
fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 == 0)
}

/// A text without what stands in quotes in it.
fn without_quotes(text: &str) -> String {
    text.split(['`', '"', '\'']).step_by(2).collect::<Vec<_>>().join("…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Box<postgres::Config> {
        match text.parse().unwrap() {
            Target::Postgres(config) => config,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_url_is_a_server_and_anything_else_a_file() {
        assert!(matches!("index.db".parse(), Ok(Target::File(path)) if path == Path::new("index.db")));
        assert!(matches!("mysql://x".parse(), Ok(Target::File(_))));
        assert!(matches!("".parse::<Target>(), Err(BadTarget::Empty)));
        let server = config("postgresql://reader@db.example:5433/pox");
        assert_eq!(
            (server.get_user(), server.get_dbname(), server.get_ports()),
            (Some("reader"), Some("pox"), &[5433][..])
        );
    }

    #[test]
    fn a_password_is_taken_from_where_nobody_sees_it() {
        let open: Target = "postgres://user:hidden@host/db".parse().unwrap();
        assert!(matches!(open.without_password(), Err(BadTarget::Password)));
        let bad = "postgres://user:hidden@host:port/db".parse::<Target>().unwrap_err().to_string();
        assert!(!bad.contains("hidden"), "{bad}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        fs::write(&file, "# a comment\nother:*:*:*:wrong\nhost:*:db:us\\:er:a\\\\b:c\n*:*:*:user:right\n")
            .unwrap();
        let target = || "postgres://user@host/db".parse::<Target>().unwrap();
        let found = |passwords: &Passwords| match target().with_passwords(passwords) {
            Target::Postgres(config) => {
                config.get_password().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
            }
            _ => None,
        };
        let passwords = Passwords { password: None, file: Some(file.clone()) };
        assert_eq!(found(&passwords), None, "others can read the file");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(found(&passwords).as_deref(), Some("right"));
        let both = Passwords { password: Some("first".into()), ..passwords };
        assert_eq!(found(&both).as_deref(), Some("first"));
        let mut odd = *config("postgres://host/db");
        odd.user("us:er");
        assert_eq!(password(&fs::read_to_string(&file).unwrap(), &odd).as_deref(), Some("a\\b:c"));
    }
}
