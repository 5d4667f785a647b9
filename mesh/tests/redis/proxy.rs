//! A way to Redis on which answers can be lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to the next answer.
#[derive(Clone, Copy)]
pub enum Answers {
    /// It arrives.
    Arrive = 0,
    /// The connection breaks in its stead; the next ones are fine again.
    Break = 1,
    /// It is swallowed, and so are all after it: a connection that is open at one end only.
    Vanish = 2,
}

/// Passes on what is asked, and answers as told.
pub struct Proxy {
    pub address: SocketAddr,
    answers: Arc<AtomicU8>,
}

impl Proxy {
    /// Stands before `server` until the test ends.
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = Arc::new(AtomicU8::new(Answers::Arrive as u8));
        let told = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(pass(client, server, Arc::clone(&told)));
            }
        });
        Self { address, answers }
    }

    /// Until something else is told.
    pub fn let_answers(&self, answers: Answers) {
        self.answers.store(answers as u8, Ordering::SeqCst);
    }
}

/// Until one end closes, or the connection is broken. One that lost an answer loses all.
async fn pass(mut client: TcpStream, mut server: TcpStream, answers: Arc<AtomicU8>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut is_lost = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => match read {
                Ok(length @ 1..) => server.write_all(&asked[..length]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(length @ 1..) => {
                    let told = answers.load(Ordering::SeqCst);
                    if told == Answers::Break as u8 {
                        answers.store(Answers::Arrive as u8, Ordering::SeqCst);
                        return;
                    }
                    is_lost |= told == Answers::Vanish as u8;
                    if !is_lost && client.write_all(&answered[..length]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
