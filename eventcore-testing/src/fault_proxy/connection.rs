//! One connection: two pumps, and what befalls them.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use super::{ConnectionId, Direction, Fault, Gate, ReplyEnd, Shared, when::Burst};

/// Enough for most requests and answers to be seen whole.
const BUFFER: usize = 256 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    id: ConnectionId,
    shared: Arc<Shared>,
    cut: Notify,
    talk: Mutex<Talk>,
}

#[derive(Debug, Default)]
struct Talk {
    /// Who spoke last.
    speaker: Option<Direction>,
    /// The next answer is thrown away.
    swallow: bool,
    late: Option<(Gate, Vec<u8>)>,
}

/// Both sides are to be closed.
struct Cut;

impl From<io::Error> for Cut {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Connection {
    pub(super) fn new(id: ConnectionId, shared: Arc<Shared>) -> Self {
        Self {
            id,
            shared,
            cut: Notify::new(),
            talk: Mutex::default(),
        }
    }

    /// Closes both sides.
    pub(super) fn close(&self) {
        self.cut.notify_one();
    }

    fn talk(&self) -> MutexGuard<'_, Talk> {
        self.talk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards both ways until both sides are done, or a fault or somebody closes them.
    pub(super) async fn serve(&self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        // Where the server is not there, the client sees a connection that ends at once.
        let Ok(server) = self.shared.upstream.connect().await else {
            return;
        };
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = tokio::io::split(server);
        let pumps = async {
            tokio::try_join!(
                self.pump(Direction::Request, &mut from_client, &mut to_server),
                self.pump(Direction::Reply, &mut from_server, &mut to_client),
            )
        };
        tokio::select! {
            () = self.cut.notified() => {}
            _ = pumps => {}
        }
        drop((from_client, to_client));
        let Some((gate, request)) = self.talk().late.take() else {
            return;
        };
        let late = async {
            gate.opened().await;
            self.deliver(Direction::Request, &mut to_server, &request, None)
                .await?;
            self.throw_away(&mut from_server, &[]).await;
            Ok::<(), io::Error>(())
        };
        tokio::select! {
            () = self.cut.notified() => {}
            _ = late => {}
        }
    }

    async fn pump(
        &self,
        direction: Direction,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Cut> {
        let mut burst = Burst::new(self.id, direction);
        let mut buffer = vec![0; BUFFER];
        let mut left: Option<usize> = None;
        let mut split = None;
        loop {
            let read = read_all_there_is(from, &mut buffer).await;
            if read == 0 {
                // The other direction may still have something to say.
                let _ = to.shutdown().await;
                return Ok(());
            }
            let piece = &buffer[..read];
            if self.begins(direction) {
                burst.begin();
                split = None;
                let way = self.shared.counters.way(direction);
                way.bursts.fetch_add(1, Relaxed);
            }
            burst.extend(piece);
            let request = direction == Direction::Request;
            match self.shared.rules.strike(&mut burst) {
                None | Some(Fault::Pass) => {}
                Some(Fault::SwallowReply) if request => self.talk().swallow = true,
                Some(Fault::ArriveLate(gate)) if request => {
                    self.talk().late = Some((gate, piece.to_vec()));
                    return Err(Cut);
                }
                Some(Fault::Close | Fault::SwallowReply | Fault::ArriveLate(_)) => return Err(Cut),
                Some(Fault::CloseAfter(bytes)) => left = Some(bytes),
                Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
                Some(Fault::Hold(gate)) => gate.opened().await,
                Some(Fault::Split(bytes)) => split = Some(bytes.max(1)),
            }
            if !request && self.talk().swallow {
                self.throw_away(from, piece).await;
                return Err(Cut);
            }
            let piece = &piece[..read.min(left.unwrap_or(read))];
            self.deliver(direction, to, piece, split).await?;
            if let Some(left) = &mut left {
                *left -= piece.len();
                if *left == 0 {
                    return Err(Cut);
                }
            }
        }
    }

    /// Whether the other side spoke last, or nobody did.
    fn begins(&self, direction: Direction) -> bool {
        self.talk().speaker.replace(direction) != Some(direction)
    }

    async fn deliver(
        &self,
        direction: Direction,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
        split: Option<usize>,
    ) -> io::Result<()> {
        let counted = &self.shared.counters.way(direction).bytes;
        let size = split.unwrap_or(BUFFER);
        for chunk in bytes.chunks(size) {
            to.write_all(chunk).await?;
            to.flush().await?;
            counted.fetch_add(chunk.len() as u64, Relaxed);
            if split.is_some() {
                // The reader is to see it before the next one comes.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Reads an answer to its end, of which a part may be here already.
    async fn throw_away(&self, from: &mut (impl AsyncRead + Unpin), already: &[u8]) {
        let (silence, ends): (_, &[&[u8]]) = match self.shared.reply_end {
            ReplyEnd::Quiet(silence) => (silence, &[]),
            ReplyEnd::AnyOf(ends) => (Duration::from_secs(1), ends),
        };
        let longest = ends.iter().map(|end| end.len()).max().unwrap_or(0);
        let mut buffer = vec![0; BUFFER];
        let mut tail = already.to_vec();
        // However long the server works before it speaks.
        if already.is_empty() {
            let read = read_all_there_is(from, &mut buffer).await;
            tail.extend_from_slice(&buffer[..read]);
        }
        while !tail.is_empty() && !ends.iter().any(|end| tail.ends_with(end)) {
            let more = tokio::time::timeout(silence, read_all_there_is(from, &mut buffer));
            let read = more.await.unwrap_or(0);
            if read == 0 {
                break;
            }
            tail.drain(..tail.len().saturating_sub(longest));
            tail.extend_from_slice(&buffer[..read]);
        }
    }
}

/// Waits for bytes and takes what has come; 0 at the end, whether it was a good or a bad one.
async fn read_all_there_is(from: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> usize {
    let mut filled = from.read(buffer).await.unwrap_or(0);
    // A request that took several packets is to be seen whole, if it is here.
    while filled > 0
        && filled < buffer.len()
        && let Some(Ok(more)) = from.read(&mut buffer[filled..]).now_or_never()
        && more > 0
    {
        filled += more;
    }
    filled
}
