//! The server behind the proxy.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use super::Direction;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upstream {
    /// At an address.
    Tcp(SocketAddr),
    /// At a socket in the file system.
    #[cfg(unix)]
    Unix(std::path::PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(unix)]
impl From<std::path::PathBuf> for Upstream {
    fn from(path: std::path::PathBuf) -> Self {
        Self::Unix(path)
    }
}

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Upstream {
    pub(super) async fn connect(&self) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            #[cfg(unix)]
            Self::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        }
    }
}

/// What went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// The bursts that came, also those that were lost.
    pub bursts: u64,
    /// The bytes that were forwarded.
    pub bytes: u64,
}

/// What a proxy has seen since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// The connections that clients made.
    pub connections: u64,
    /// Those of them that were [refused](super::FaultProxy::refuse).
    pub refused: u64,
    /// From clients to the server.
    pub requests: Traffic,
    /// From the server to clients.
    pub replies: Traffic,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) refused: AtomicU64,
    requests: Way,
    replies: Way,
}

#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) bursts: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Counters {
    pub(super) fn way(&self, direction: Direction) -> &Way {
        match direction {
            Direction::Request => &self.requests,
            Direction::Reply => &self.replies,
        }
    }

    pub(super) fn read(&self) -> Counts {
        let traffic = |way: &Way| Traffic {
            bursts: way.bursts.load(Relaxed),
            bytes: way.bytes.load(Relaxed),
        };
        Counts {
            connections: self.connections.load(Relaxed),
            refused: self.refused.load(Relaxed),
            requests: traffic(&self.requests),
            replies: traffic(&self.replies),
        }
    }
}
