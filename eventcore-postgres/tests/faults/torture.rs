//! Many clients, random faults, and then every promise is checked against what each of them saw and was told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use eventcore::{
    CommandError, CommandLogic, CommandReceipt, EventStore, IdempotencyKey, RetryPolicy, execute,
};
use eventcore_postgres::PostgresEventStore;
use eventcore_testing::{
    fault_proxy::{Armed, Fault, Gate, When},
    history::{Outcome, Recorded, Recorder},
    temp_postgres::TempPostgres,
};

use crate::{
    bank::{Look, SetLimit, Transfer},
    support::stream,
    world::{World, carrying, options},
};

const CLIENTS: u64 = 8;
const PURSES: u64 = 6;

/// From the environment, to see a failure again; the order of threads is not in it.
fn seed() -> u64 {
    let given = std::env::var("EVENTCORE_TEST_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap())
}

/// Runs a command as applications do: some with a deadline, some with a key of their own under which they ask again.
async fn run<C>(command: C, store: &PostgresEventStore, noted: &Recorded, dice: &mut fastrand::Rng)
where
    C: CommandLogic + Clone + 'static,
{
    let own_key = dice.bool().then(IdempotencyKey::generate);
    let deadline = (dice.u8(..4) == 0).then(|| Duration::from_millis(dice.u64(1..200)));
    for tries in 1.. {
        let mut execution = execute(command.clone(), store)
            .metadata(carrying(noted))
            .retry(
                RetryPolicy::exponential()
                    .cap(Duration::from_millis(20))
                    .max_attempts(6),
            );
        if let Some(key) = &own_key {
            execution = execution.idempotency_key(key.clone());
        }
        if let Some(deadline) = deadline {
            execution = execution.deadline(deadline);
        }
        let result = execution.await;
        match &result {
            // Asked again under the same key. Only what the last one said counts, and it must be the truth about all.
            Err(CommandError::OutcomeUnknown { .. }) if own_key.is_some() && tries < 5 => {}
            Err(CommandError::OutcomeUnknown { key: Some(key), .. }) => {
                settle(store, key, noted, &result).await;
                return;
            }
            // Sent again, it is there, or is refused for good.
            Err(CommandError::OutcomeUnknown { batch, .. }) => {
                match store.append(batch.clone()).await {
                    Ok(receipt) => noted.acknowledged(&receipt.events),
                    Err(_) => noted.told(&result),
                }
                return;
            }
            // After an unknown outcome, a failure says nothing about the tries before.
            Err(error) if tries > 1 && !error.is_rejection() => {
                noted.unknown();
                return;
            }
            _ => {
                noted.told(&result);
                return;
            }
        }
    }
}

/// What was unknown may be known later. That nothing is there yet is no answer: it may still be on its way.
async fn settle(
    store: &PostgresEventStore,
    key: &IdempotencyKey,
    noted: &Recorded,
    result: &Result<CommandReceipt, CommandError>,
) {
    match store.find_receipt(key).await {
        Ok(Some(kept)) => noted.acknowledged(&kept.receipt.events),
        Ok(None) => noted.told(result),
        Err(error) => {
            assert!(error.is_retriable(), "{error:?}");
            noted.told(result);
        }
    }
}

async fn client(
    store: PostgresEventStore,
    recorder: Recorder,
    mut dice: fastrand::Rng,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(SeqCst) {
        let one = dice.u64(..PURSES);
        let other = (one + 1 + dice.u64(..PURSES - 1)) % PURSES;
        let purse = |number| stream(&format!("purse:{number}"));
        match dice.u8(..100) {
            0..5 => {
                let debt = dice.i64(0..10);
                let noted = recorder.begin(format!("limit {debt}"));
                let limit = stream("limit");
                let command = SetLimit {
                    limit,
                    debt,
                    noted: noted.clone(),
                };
                run(command, &store, &noted, &mut dice).await;
            }
            5..20 => {
                let noted = recorder.begin(format!("look at {one} and {other}"));
                let (one, other) = (purse(one), purse(other));
                let command = Look {
                    one,
                    other,
                    noted: noted.clone(),
                };
                run(command, &store, &noted, &mut dice).await;
            }
            _ => {
                let coins = dice.i64(1..5);
                let noted = recorder.begin(format!("{coins} from {one} to {other}"));
                let command = Transfer {
                    from: purse(one),
                    to: purse(other),
                    limit: stream("limit"),
                    coins,
                    noted: noted.clone(),
                };
                run(command, &store, &noted, &mut dice).await;
            }
        }
    }
}

/// Everything that can happen to a connection. Gates are for those that come late.
fn bad_weather(world: &World<'_>, seed: u64, gate: &Gate) -> [Armed; 3] {
    let short = Fault::Delay(Duration::from_millis(3));
    let (one, few) = (Fault::Split(1), Fault::Split(100));
    let to_server = [
        Fault::Close,
        Fault::SwallowReply,
        Fault::SwallowReply,
        Fault::CloseAfter(40),
        short.clone(),
        few.clone(),
    ];
    let to_client = [Fault::Close, Fault::CloseAfter(40), short, one, few];
    let late = [Fault::ArriveLate(gate.clone()), Fault::Hold(gate.clone())];
    [
        world.proxy.at_random(When::request(), seed, 1, late),
        world
            .proxy
            .at_random(When::request(), seed ^ 1, 4, to_server),
        world.proxy.at_random(When::reply(), seed ^ 2, 3, to_client),
    ]
}

/// How many commands came to which end.
fn ends(world: &World<'_>) -> BTreeMap<&'static str, usize> {
    let mut ends = BTreeMap::new();
    for command in world.recorder.history([]).commands {
        let end = match command.outcome {
            Outcome::Acknowledged(events) if events.is_empty() => "nothing to do",
            Outcome::Acknowledged(_) => "acknowledged",
            Outcome::Rejected => "rejected",
            Outcome::Failed(_) => "failed",
            _ => "unknown",
        };
        *ends.entry(end).or_default() += 1;
    }
    ends
}

/// Lets the clients run while `meanwhile` does its worst, and checks.
async fn torture(world: World<'_>, seed: u64, meanwhile: impl AsyncFnOnce(&World<'_>)) {
    println!("EVENTCORE_TEST_SEED={seed}");
    // The other one sends each append as a transaction of several messages, as behind a pooler.
    let unprepared = options().prepared_statements(false).wakeups(true);
    let stores = [world.store.clone(), world.another_with(unprepared).await];
    let stop = Arc::<AtomicBool>::default();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            // One of them is in better weather.
            let store = match number {
                0 => world.direct.clone(),
                _ => stores[usize::from(number % 2 == 0)].clone(),
            };
            let dice = fastrand::Rng::with_seed(seed.wrapping_add(number));
            tokio::spawn(client(
                store,
                world.recorder.clone(),
                dice,
                Arc::clone(&stop),
            ))
        })
        .collect();
    meanwhile(&world).await;
    world.proxy.disarm_all();
    stop.store(true, SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    for store in stores {
        store.close().await;
    }
    // What is still on its way arrives, or its connection is over.
    let arrived = async {
        while !world.proxy.connections().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let patience = Duration::from_secs(10);
    let arrived = tokio::time::timeout(patience, arrived).await;
    arrived.unwrap_or_else(|_| panic!("connections stay: {:?}", world.proxy.connections()));
    let log = world.check().await;
    let ends = ends(&world);
    println!("{} events, {ends:?}, {:?}", log.len(), world.proxy.counts());
    for end in ["acknowledged", "rejected", "nothing to do"] {
        assert!(
            ends.get(end).is_some_and(|count| *count > 20),
            "too few {end}: {ends:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_holds_on_connections_that_break_stall_and_tear_at_random() {
    let seed = seed();
    torture(World::new().await, seed, async |world| {
        for round in 0..12 {
            let gate = Gate::new();
            let weather = bad_weather(world, seed.wrapping_add(round * 1000), &gate);
            tokio::time::sleep(Duration::from_millis(500)).await;
            weather.iter().for_each(Armed::disarm);
            gate.open();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_promise_holds_when_the_server_is_killed_besides() {
    let seed = seed();
    // A session whose handshake was held would keep the server from stopping for a minute.
    let server = TempPostgres::builder()
        .setting("authentication_timeout", "2s")
        .start()
        .unwrap();
    torture(World::on(&server, options()).await, seed, async |world| {
        let ends: [fn(&TempPostgres) -> _; 3] =
            [TempPostgres::kill, TempPostgres::stop, TempPostgres::kill];
        for (round, end) in (0..).zip(ends) {
            let gate = Gate::new();
            let weather = bad_weather(world, seed.wrapping_add(round * 1000), &gate);
            tokio::time::sleep(Duration::from_secs(1)).await;
            tokio::task::block_in_place(|| end(&server).and_then(|()| server.start())).unwrap();
            weather.iter().for_each(Armed::disarm);
            gate.open();
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
}
