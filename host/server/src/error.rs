//! What can go wrong here. What a job did wrong is its state.

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database refused, or is gone.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// This is no place for a database.
    #[error("this is no database's address: {0}")]
    Address(String),
    /// The sandbox could not be made or run.
    #[error(transparent)]
    Sandbox(#[from] vtwasm::Error),
    /// What was asked for cannot be, and why.
    #[error("{0}")]
    Invalid(String),
    /// There is none, or none that the caller may see.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It is not possible now.
    #[error("{0}")]
    Conflict(String),
    /// It is not as the caller has seen it.
    #[error("it was changed meanwhile; get it again")]
    Changed,
    /// A quota of the tenant is used up.
    #[error("{0}")]
    Quota(String),
    /// A folder, a file or a socket.
    #[error("cannot {action}")]
    Io {
        /// What was being done, to what.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// Storage of files that is not on this machine.
    #[error("cannot {action}")]
    Storage {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

/// Results of this library.
pub type Result<T, E = Error> = std::result::Result<T, E>;
