//! Stores that change what they are given, or take one name for another.

use async_trait::async_trait;
use eventcore::{
    EncodedEvent, EventFilter, EventStore, EventType, GlobalPosition, Payload, RecordedEvent,
    SchemaVersion, StreamId, Timestamp,
    store::{
        AppendBatch, AppendError, AppendReceipt, Capabilities, Page, PageSize, ReadError, ReadFrom,
        StreamFilter, StreamRead,
    },
};
use eventcore_memory::InMemoryEventStore;

use crate::cage::{Parts, Specimen, page_of, specimens, whole_log};

fn like(pattern: &[char], text: &[char]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        (['%', rest @ ..], _) => {
            like(rest, text) || (!text.is_empty() && like(pattern, &text[1..]))
        }
        (['\\', literal, rest @ ..], [first, others @ ..]) if literal == first => {
            like(rest, others)
        }
        (['\\', ..], _) => false,
        (['_', rest @ ..], [_, others @ ..]) => like(rest, others),
        ([literal, rest @ ..], [first, others @ ..]) if literal == first => like(rest, others),
        _ => false,
    }
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// A page in which prefixes mean what `by` says.
async fn by_prefix(
    store: &InMemoryEventStore,
    after: GlobalPosition,
    filter: &EventFilter,
    limit: PageSize,
    by: impl Fn(&str, &str) -> bool,
) -> Page {
    let log = whole_log(store).await;
    page_of(&log, after, limit, |event| match filter.get_streams() {
        StreamFilter::Prefix(prefix) => by(prefix.as_str(), event.stream().as_str()),
        _ => filter.matches(event),
    })
}

fn changed_payloads(
    batch: &AppendBatch,
    change: impl Fn(&EncodedEvent) -> EncodedEvent,
) -> AppendBatch {
    let mut parts = Parts::of(batch);
    for (_, event) in &mut parts.events {
        *event = change(event);
    }
    parts.build()
}

/// A store whose prefixes follow a rule of its own.
macro_rules! prefixed {
    ($($(#[$doc:meta])* $name:ident => $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $name {
            inner: InMemoryEventStore,
        }

        #[async_trait]
        impl Specimen for $name {
            fn inner(&self) -> &InMemoryEventStore {
                &self.inner
            }

            async fn read_all(
                &self,
                after: GlobalPosition,
                filter: &EventFilter,
                limit: PageSize,
            ) -> Result<Page, ReadError> {
                Ok(by_prefix(&self.inner, after, filter, limit, $rule).await)
            }
        }
    )*};
}

prefixed! {
    /// `LIKE prefix || '%'`, with nothing escaped.
    PassesPrefixesToLike => |prefix: &str, name: &str| {
        like(&chars(&format!("{prefix}%")), &chars(name))
    };
    /// `LIKE` as SQLite has it: whatever the case of ASCII letters.
    FoldsPrefixes => |prefix: &str, name: &str| {
        name.to_ascii_lowercase().starts_with(&prefix.to_ascii_lowercase())
    };
    /// A range from the prefix to the prefix with its last character raised, which the last character has none of.
    RaisesTheLastCharacter => |prefix: &str, name: &str| {
        let mut raised = chars(prefix);
        let last = raised.pop().unwrap();
        raised.extend(char::from_u32(u32::from(last) + 1));
        prefix <= name && name < raised.into_iter().collect::<String>().as_str()
    };
    /// Cuts prefixes to a number of bytes.
    ComparesOneCharacterOnly => |prefix: &str, name: &str| {
        name.chars().next() == prefix.chars().next()
    };
}

specimens! {
    /// Keeps payloads as a JSON value: `jsonb`.
    ParsesPayloads {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let batch = changed_payloads(&batch, |event| {
                let bytes = event.payload().as_bytes();
                let payload = match serde_json::from_slice::<serde_json::Value>(bytes) {
                    Ok(value) => Payload::from(value.to_string().into_bytes()),
                    Err(_) => event.payload().clone(),
                };
                EncodedEvent::new(event.event_type().clone(), event.schema(), payload)
            });
            self.inner.append(batch).await
        }
    }

    /// Keeps payloads as text.
    KeepsPayloadsAsText {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let batch = changed_payloads(&batch, |event| {
                let text = String::from_utf8_lossy(event.payload().as_bytes()).into_owned();
                let payload = Payload::from(text.into_bytes());
                EncodedEvent::new(event.event_type().clone(), event.schema(), payload)
            });
            self.inner.append(batch).await
        }
    }

    /// Keeps schema versions in 16 bits.
    WrapsSchemaVersions {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let batch = changed_payloads(&batch, |event| {
                let low = SchemaVersion::new(event.schema().get() & 0xffff);
                let schema = low.unwrap_or(SchemaVersion::FIRST);
                EncodedEvent::new(event.event_type().clone(), schema, event.payload().clone())
            });
            self.inner.append(batch).await
        }
    }

    /// Keeps types in lower case.
    FoldsTypes {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let batch = changed_payloads(&batch, |event| {
                let name = EventType::try_new(event.event_type().as_str().to_lowercase()).unwrap();
                EncodedEvent::new(name, event.schema(), event.payload().clone())
            });
            self.inner.append(batch).await
        }
    }

    /// Compares types by a collation when it filters.
    FoldsTypesInFilters {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let folded = |name: &EventType| name.as_str().to_lowercase();
            let by_type = |event: &RecordedEvent| {
                let own = folded(event.encoded().event_type());
                filter.get_types().is_none_or(|types| types.iter().any(|t| folded(t) == own))
            };
            Ok(page_of(&whole_log(&self.inner).await, after, limit, by_type))
        }
    }

    /// Looks at the types of a filter, or else at its streams, never at both.
    AppliesHalfOfAFilter {} => {
        async fn read_all(
            &self,
            after: GlobalPosition,
            filter: &EventFilter,
            limit: PageSize,
        ) -> Result<Page, ReadError> {
            let half = match filter.get_types() {
                Some(types) => EventFilter::all().types(types.clone()),
                None => filter.clone(),
            };
            self.inner.read_all(after, &half, limit).await
        }
    }

    /// Keeps time to the millisecond.
    CutsTimesToMilliseconds {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            let cut = parts.time.unix_micros() / 1000 * 1000;
            parts.time = Timestamp::from_unix_micros(cut).unwrap();
            self.inner.append(parts.build()).await
        }
    }

    /// Keeps metadata as a JSON value.
    ParsesMetadata {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            if let Some(text) = &parts.metadata
                && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
            {
                parts.metadata = Some(value.to_string().into());
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Compares stream names by a collation.
    FoldsStreamNames {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            for expected in &mut parts.expectations {
                expected.stream = folded(&expected.stream);
            }
            for (stream, _) in &mut parts.events {
                *stream = folded(stream);
            }
            let mut seen = std::collections::HashSet::new();
            parts.expectations.retain(|expected| seen.insert(expected.stream.clone()));
            self.inner.append(parts.build()).await
        }

        async fn read(&self, streams: &[ReadFrom]) -> Result<StreamRead, ReadError> {
            let mut from = streams.to_vec();
            for from in &mut from {
                from.stream = folded(&from.stream);
            }
            self.inner.read(&from).await
        }
    }

    /// Counts events with a number of binds that a statement does not have.
    RefusesLargeBatches {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            use eventcore::store::{StoreError, StoreErrorKind};
            if batch.events().len() > 65_535 {
                let other = StoreErrorKind::Other;
                return Err(StoreError::new("append", other, "too many binds").into());
            }
            self.inner.append(batch).await
        }
    }

    /// Checks only so many expectations.
    GuardsTheFirstThousandStreams {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let mut parts = Parts::of(&batch);
            let writes: std::collections::HashSet<_> =
                parts.events.iter().map(|(stream, _)| stream.clone()).collect();
            let mut index = 0;
            parts.expectations.retain(|expected| {
                index += 1;
                index <= 1000 || writes.contains(&expected.stream)
            });
            for expected in parts.expectations.iter_mut().skip(1000) {
                expected.version = crate::cage::version_of(&self.inner, &expected.stream).await;
            }
            self.inner.append(parts.build()).await
        }
    }

    /// Cuts payloads at a million bytes.
    CutsLargePayloads {} => {
        async fn append(&self, batch: AppendBatch) -> Result<AppendReceipt, AppendError> {
            let batch = changed_payloads(&batch, |event| {
                let bytes = event.payload().as_bytes();
                let payload = Payload::from(&bytes[..bytes.len().min(1_000_000)]);
                EncodedEvent::new(event.event_type().clone(), event.schema(), payload)
            });
            self.inner.append(batch).await
        }
    }

    /// Claims what nobody declared.
    ClaimsTooMuch {} => {
        fn capabilities(&self) -> Capabilities {
            Capabilities::none().durable()
        }
    }
}

fn folded(stream: &StreamId) -> StreamId {
    StreamId::try_new(stream.as_str().to_lowercase()).unwrap()
}
