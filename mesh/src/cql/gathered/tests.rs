//! How many messages go, and how full they are.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::Notify;

use super::*;

/// Sends nothing, and answers each message when it is told to.
#[derive(Clone)]
struct Slow(Arc<SlowShared>);

struct SlowShared {
    queue: Queue<Slow>,
    sent: Mutex<Vec<Sent>>,
}

/// How many were in a message, and what has it answered.
type Sent = (usize, Arc<Notify>);

impl Gathers for Slow {
    type Asked = u32;
    type Answer = u32;
    const FULL: usize = 4;

    fn queue(&self) -> &Queue<Slow> {
        &self.0.queue
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn has_room(message: &[Waiting<Slow>], _: &u32) -> bool {
        message.len() < Slow::FULL
    }

    async fn send(&self, message: Vec<Waiting<Slow>>) {
        let answer = Arc::new(Notify::new());
        self.0.sent.lock().push((message.len(), Arc::clone(&answer)));
        answer.notified().await;
        for one in message {
            let asked = one.asked;
            one.tell(Ok(asked));
        }
    }
}

impl Slow {
    fn new() -> Slow {
        Slow(Arc::new(SlowShared { queue: Queue::new(), sent: Mutex::default() }))
    }

    fn sent(&self) -> Vec<usize> {
        self.0.sent.lock().iter().map(|(count, _)| *count).collect()
    }

    fn answer(&self, message: usize) {
        self.0.sent.lock()[message].1.notify_one();
    }
}

/// Lets everything happen that needs no time.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn few_messages_are_under_way_but_full_ones_go_beside_them() {
    let slow = Slow::new();
    let mut asked = Vec::new();
    let mut ask_for = async |count: u32| {
        for number in 0..count {
            let slow = slow.clone();
            asked.push(tokio::spawn(async move { ask(&slow, number).await }));
        }
        settle().await;
    };
    ask_for(1).await;
    ask_for(1).await;
    ask_for(3).await;
    assert_eq!(slow.sent(), [1, 1], "what comes meanwhile waits");
    ask_for(2).await;
    assert_eq!(slow.sent(), [1, 1, 4], "as much as fills a message does not");
    slow.answer(2);
    settle().await;
    assert_eq!(slow.sent(), [1, 1, 4], "the one that is left does");
    slow.answer(0);
    settle().await;
    assert_eq!(slow.sent(), [1, 1, 4, 1]);
    ask_for(1_000).await;
    let sent = slow.sent();
    assert_eq!(sent.len(), 2 + MESSAGES_AT_ONCE + FULL_MESSAGES_AT_ONCE, "and that is bounded");
    assert!(sent[4..].iter().all(|count| *count == Slow::FULL), "{sent:?}");
    let mut answered = 0;
    while answered < slow.sent().len() {
        slow.answer(answered);
        answered += 1;
        settle().await;
    }
    for one in join_all(asked).await {
        assert!(matches!(one.unwrap(), Some(Ok(_))));
    }
}
