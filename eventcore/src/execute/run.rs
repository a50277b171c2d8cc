//! The attempts of one command, and what happens between them.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{
    CommandReceipt, Options,
    attempt::{Decision, Undecided, decide},
    panics::guarded,
};
use crate::{
    CausationId, CommandError, CommandLogic, CorrelationId, EventStore, IdempotencyKey, StreamId,
    Timestamp,
    command::{Declarations, Fingerprint, bare},
    store::{
        AppendBatch, AppendError, AppendReceipt, BatchError, Conflict, Idempotency, ReadError,
        StoreError,
    },
};

pub(super) async fn run<C: CommandLogic, S: EventStore>(
    command: C,
    store: S,
    options: Options,
) -> Result<CommandReceipt, CommandError> {
    let mut declared = Declarations::default();
    // A key's conversion to a stream, and a fingerprint's `Serialize`, are the application's code too.
    guarded("declare", || command.declare(&mut declared))?;
    declared.refuse_duplicates()?;
    let run = guarded("declare", || {
        Run::new(&command, &store, &options, &declared)
    })?;
    if options.key.is_some()
        && let Some(receipt) = run.earlier_receipt(&declared).await?
    {
        return Ok(CommandReceipt::new(receipt, 0));
    }
    run.attempts(&declared).await
}

/// What stays the same over all attempts.
struct Run<'a, C, S> {
    command: &'a C,
    store: &'a S,
    options: &'a Options,
    started: Instant,
    deadline: Option<Instant>,
    idempotency: Option<Idempotency>,
    correlation_id: CorrelationId,
    causation_id: Option<CausationId>,
    metadata: Option<Arc<str>>,
}

/// Why an attempt has to be followed by another.
enum Again {
    Conflict(Conflict),
    Store(CommandError),
}

impl<'a, C: CommandLogic, S: EventStore> Run<'a, C, S> {
    fn new(
        command: &'a C,
        store: &'a S,
        options: &'a Options,
        declared: &Declarations,
    ) -> Result<Self, CommandError> {
        // Events have identities, so a batch may be sent again without a key. One is needed only by a caller that will
        // not wait for the outcome, and may want to ask for it later.
        let generated = || {
            options.deadline.is_some().then(|| Idempotency {
                key: IdempotencyKey::generate(),
                fingerprint: Uuid::nil(),
            })
        };
        let idempotency = match &options.key {
            None => generated(),
            Some(key) => Some(Idempotency {
                key: key.clone(),
                fingerprint: fingerprint(command, declared)?,
            }),
        };
        let metadata = &options.metadata;
        let started = Instant::now();
        Ok(Self {
            command,
            store,
            options,
            started,
            deadline: options
                .deadline
                .and_then(|after| started.checked_add(after)),
            idempotency,
            correlation_id: metadata
                .get_correlation_id()
                .unwrap_or_else(CorrelationId::generate),
            causation_id: metadata.get_causation_id(),
            metadata: metadata.to_text()?.map(Arc::from),
        })
    }

    /// Attempt after attempt, each with the right of way on the streams that it may write to.
    async fn attempts(&self, declared: &Declarations) -> Result<CommandReceipt, CommandError> {
        let writable = declared.streams.iter().filter(|stream| stream.writable);
        let mut lines: Vec<StreamId> = writable.map(|stream| stream.id.clone()).collect();
        let mut attempts = 0;
        let mut first: Option<StoreError> = None;
        loop {
            lines.sort_unstable();
            lines.dedup();
            let turn = self
                .before_append(attempts, self.store.commons().turnstile().enter(&lines))
                .await?;
            attempts += 1;
            let attempt = turn.hold(self.attempt(attempts, declared, &mut lines));
            let again = match attempt.await? {
                Ok(receipt) => return Ok(CommandReceipt::new(receipt, attempts)),
                Err(again) => again,
            };
            drop(turn);
            if let Again::Store(error) = &again
                && first.is_none()
            {
                first = store_error(error).cloned();
            }
            let Some(wait) = self.wait_after(attempts, &again) else {
                return Err(again.give_up(attempts, first.as_ref()));
            };
            if let Again::Conflict(conflict) = &again {
                // A stream that is only read was written by another; next time wait in its line as well.
                lines.extend(conflict.streams().iter().map(|moved| moved.stream.clone()));
            }
            tracing::debug!(command = C::NAME, attempts, ?wait, "{again}, trying again");
            if !wait.is_zero() {
                self.before_append(attempts, tokio::time::sleep(wait))
                    .await?;
            }
        }
    }

    /// How long to wait before the next attempt; `None` when there is to be none.
    fn wait_after(&self, attempts: u32, again: &Again) -> Option<Duration> {
        let bears = match again {
            Again::Conflict(_) => true,
            Again::Store(_) => self.options.retry.bears(self.started.elapsed()),
        };
        let wait = self.options.retry.wait_after(attempts, fastrand::f64());
        wait.filter(|_| bears)
    }

    async fn attempt(
        &self,
        attempts: u32,
        declared: &Declarations,
        lines: &mut Vec<StreamId>,
    ) -> Result<Result<AppendReceipt, Again>, CommandError> {
        let deciding = decide(self.command, self.store, declared, self.options);
        let decision = match self.before_append(attempts, deciding).await? {
            Ok(decision) => decision,
            Err(Undecided::Torn(conflict)) => return Ok(Err(Again::Conflict(conflict))),
            Err(Undecided::Failed(error)) if error.is_retriable() => {
                return Ok(Err(Again::Store(error)));
            }
            Err(Undecided::Failed(error)) if error.is_rejection() && self.options.key.is_some() => {
                // The same command of another process may have taken effect since we asked, and be what it was
                // refused for.
                return self.earlier_receipt(declared).await?.map(Ok).ok_or(error);
            }
            Err(Undecided::Failed(error)) => return Err(error),
        };
        lines.extend_from_slice(&decision.writable);
        // Deciding takes time too, and is not interrupted.
        self.check_deadline(attempts)?;
        let Some(batch) = self.batch(decision)? else {
            return Ok(Ok(AppendReceipt {
                events: Vec::new(),
                correlation_id: self.correlation_id,
                replayed: false,
            }));
        };
        match self.append(batch).await {
            Ok(receipt) => Ok(Ok(receipt)),
            // Stored by an earlier version, perhaps, since it was looked for.
            Err(conflict @ CommandError::IdempotencyConflict { .. }) => self
                .earlier_receipt(declared)
                .await?
                .map(Ok)
                .ok_or(conflict),
            Err(CommandError::Append(AppendError::Conflict(conflict))) => {
                Ok(Err(Again::Conflict(conflict)))
            }
            Err(error) if error.is_retriable() => Ok(Err(Again::Store(error))),
            Err(error) => Err(error),
        }
    }

    /// The batch of a decision, or `None` when it is to change nothing and need not be remembered.
    fn batch(&self, decision: Decision) -> Result<Option<AppendBatch>, BatchError> {
        if decision.events.is_empty() && self.options.key.is_none() {
            return Ok(None);
        }
        let mut batch = AppendBatch::builder();
        for expectation in decision.expectations {
            batch.expect(expectation.stream, expectation.version)?;
        }
        batch
            .events(decision.events)
            .correlation_id(self.correlation_id)
            .causation_id(self.causation_id)
            .metadata(self.metadata.clone())
            .recorded_at(self.options.recorded_at.unwrap_or_else(Timestamp::now));
        if let Some(idempotency) = &self.idempotency {
            batch.idempotency(idempotency.clone());
        }
        batch.build().map(Some)
    }

    /// Appends, and where the outcome stays unknown sends the same batch again: its key makes that safe, and the
    /// answer is the outcome.
    async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, CommandError> {
        let mut tries = 0;
        let mut first: Option<StoreError> = None;
        loop {
            let cause = match self.until_deadline(self.store.append(batch.clone())).await {
                None => return Err(unknown(batch, first)),
                Some(Ok(mut receipt)) => {
                    // A batch that was sent twice comes back as a replay of itself.
                    receipt.replayed &= tries == 0 || !is_of(&receipt, &batch);
                    return Ok(receipt);
                }
                Some(Err(AppendError::OutcomeUnknown(cause))) => cause,
                // Whatever is in the way of this try says nothing about the earlier one.
                Some(Err(AppendError::Store(cause))) if tries > 0 => {
                    if !cause.is_retriable() {
                        return Err(unknown(batch, Some(cause)));
                    }
                    cause
                }
                Some(Err(AppendError::IdempotencyConflict { key })) => {
                    return Err(CommandError::IdempotencyConflict { key });
                }
                Some(Err(error)) => return Err(CommandError::Append(error)),
            };
            tries += 1;
            let first = &*first.get_or_insert_with(|| cause.clone());
            let cause = cause.after(tries, first);
            // Once at least, however long the store took to notice.
            let bears = tries == 1 || self.options.retry.bears(self.started.elapsed());
            let wait = self.options.retry.wait_after(tries, fastrand::f64());
            let Some(wait) = wait.filter(|_| bears) else {
                return Err(unknown(batch, Some(cause)));
            };
            tracing::debug!(command = C::NAME, tries, "outcome unknown, asking again");
            if self
                .until_deadline(tokio::time::sleep(wait))
                .await
                .is_none()
            {
                return Err(unknown(batch, Some(cause)));
            }
        }
    }

    /// What this command did when it was run before.
    async fn earlier_receipt(
        &self,
        declared: &Declarations,
    ) -> Result<Option<AppendReceipt>, CommandError> {
        let Some(Idempotency { key, fingerprint }) = &self.idempotency else {
            return Ok(None);
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let error = match self
                .before_append(0, self.store.committed_receipt(key))
                .await?
            {
                Ok(None) => return Ok(None),
                Ok(Some(kept)) if kept.fingerprint == *fingerprint => {
                    return Ok(Some(kept.receipt));
                }
                Ok(Some(kept)) if self.is_legacy(declared, kept.fingerprint)? => {
                    return Ok(Some(kept.receipt));
                }
                Ok(Some(_)) => {
                    return Err(CommandError::IdempotencyConflict { key: key.clone() });
                }
                Err(error) => error,
            };
            let wait = self.options.retry.wait_after(attempts, fastrand::f64());
            let bears = self.options.retry.bears(self.started.elapsed());
            let Some(wait) = wait.filter(|_| error.is_retriable() && bears) else {
                return Err(CommandError::Read(error));
            };
            self.before_append(0, tokio::time::sleep(wait)).await?;
        }
    }

    /// Whether an earlier version stored this digest of the same command.
    fn is_legacy(&self, declared: &Declarations, kept: Uuid) -> Result<bool, CommandError> {
        let legacy = guarded("declare", || legacy_fingerprint(self.command, declared));
        Ok(legacy? == kept)
    }

    fn check_deadline(&self, attempts: u32) -> Result<(), CommandError> {
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => {
                Err(CommandError::DeadlineExceeded { attempts })
            }
            _ => Ok(()),
        }
    }

    async fn until_deadline<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            None => Some(work.await),
            Some(deadline) => timeout_at(deadline, work).await.ok(),
        }
    }

    async fn before_append<T>(
        &self,
        attempts: u32,
        work: impl Future<Output = T>,
    ) -> Result<T, CommandError> {
        let exceeded = CommandError::DeadlineExceeded { attempts };
        self.until_deadline(work).await.ok_or(exceeded)
    }
}

impl Again {
    fn give_up(self, attempts: u32, first: Option<&StoreError>) -> CommandError {
        let error = match self {
            Self::Conflict(conflict) => return CommandError::Conflict { conflict, attempts },
            Self::Store(error) => error,
        };
        match (error, first) {
            (CommandError::Read(ReadError::Store(last)), Some(first)) => {
                CommandError::Read(last.after(attempts, first).into())
            }
            (CommandError::Append(AppendError::Store(last)), Some(first)) => {
                CommandError::Append(last.after(attempts, first).into())
            }
            (error, _) => error,
        }
    }
}

/// What the store ran into, if it was that.
fn store_error(error: &CommandError) -> Option<&StoreError> {
    match error {
        CommandError::Read(ReadError::Store(error))
        | CommandError::Append(AppendError::Store(error)) => Some(error),
        _ => None,
    }
}

impl std::fmt::Display for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Conflict(conflict) => conflict.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

fn unknown(batch: AppendBatch, source: Option<StoreError>) -> CommandError {
    let key = batch
        .idempotency()
        .map(|idempotency| idempotency.key.clone());
    CommandError::OutcomeUnknown { key, batch, source }
}

/// Whether the receipt is for this very batch, not for one of another run under the same key.
fn is_of(receipt: &AppendReceipt, batch: &AppendBatch) -> bool {
    let appended = receipt.events.iter().map(|event| event.id);
    receipt.correlation_id == batch.correlation_id()
        && appended.eq(batch.events().iter().map(|event| event.id))
}

/// The digest of what a command means.
fn fingerprint<C: CommandLogic>(
    command: &C,
    declared: &Declarations,
) -> Result<Uuid, CommandError> {
    let mut digest = Fingerprint::default();
    let path = std::any::type_name::<C>();
    if C::IS_NAMED {
        digest.part(C::NAME.as_bytes());
        let bare = bare(path);
        let parameters = bare.find('<').map_or("", |at| &bare[at..]);
        digest.part(parameters.as_bytes());
    } else {
        // With its path: two commands may have the same name.
        digest.part(path.as_bytes());
    }
    let mut streams: Vec<_> = declared.streams.iter().collect();
    // The streams of one field keep their order.
    streams.sort_by_key(|stream| stream.field);
    for stream in streams {
        digest.part(stream.field.as_bytes());
        digest.part(stream.id.as_str().as_bytes());
    }
    digested(command, digest)
}

/// The digest that earlier versions stored: with the type's path, and everything in the order in which it is declared.
fn legacy_fingerprint<C: CommandLogic>(
    command: &C,
    declared: &Declarations,
) -> Result<Uuid, CommandError> {
    let mut digest = Fingerprint::legacy();
    digest.part(std::any::type_name::<C>().as_bytes());
    for stream in &declared.streams {
        digest.part(stream.field.as_bytes());
        digest.part(stream.id.as_str().as_bytes());
    }
    digested(command, digest)
}

fn digested<C: CommandLogic>(command: &C, mut digest: Fingerprint) -> Result<Uuid, CommandError> {
    command.fingerprint(&mut digest);
    digest
        .digest()
        .map_err(|source| CommandError::Fingerprint { source })
}
