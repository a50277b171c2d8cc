//! A relay between client and server that counts what the client waits for.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    waits: Arc<AtomicUsize>,
}

impl Relay {
    /// How many messages there were after which a client waits: `Sync` and `Query`.
    pub(crate) fn round_trips(&self) -> usize {
        self.waits.load(SeqCst)
    }
}

pub(crate) async fn start(server: SocketAddr) -> Relay {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let waits = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&waits);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, mut to_client) = client.into_split();
            let (mut from_server, to_server) =
                TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(forward(from_client, to_server, Arc::clone(&counted)));
        }
    });
    Relay { address, waits }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    waits: Arc<AtomicUsize>,
) -> std::io::Result<()> {
    const SSL_REQUEST: u32 = 80_877_103;
    // The first messages have no type: perhaps one that asks for TLS, then the one that begins.
    loop {
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        to.write_u32(length).await?;
        to.write_all(&body).await?;
        if !body.starts_with(&SSL_REQUEST.to_be_bytes()) {
            break;
        }
    }
    loop {
        let kind = from.read_u8().await?;
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        if matches!(kind, b'S' | b'Q') {
            waits.fetch_add(1, SeqCst);
        }
        to.write_u8(kind).await?;
        to.write_u32(length).await?;
        to.write_all(&body).await?;
    }
}
