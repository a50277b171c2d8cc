//! `shop report`: what a store holds, from its read models.

use eventcore::projection::ProjectionStore;

use super::{
    Books, Report, ReportOptions, ShopError, Standing, opened::Opened, summary::ReadModelsSummary,
    views::Views,
};

/// Brings the read models of a store up to date and reports what they say.
///
/// # Errors
///
/// [`ShopError`]. Read models that differ from the log are no error but a [`ReadModelsSummary`].
///
/// # Cancel safety
///
/// Safe at any point; the next time goes on.
pub async fn report(options: &ReportOptions) -> Result<Standing, ShopError> {
    let store = Opened::open_existing(&options.look.store).await?;
    let standing = match &store {
        Opened::Memory(_, views) => of_store(options, &store, views).await,
        Opened::Sqlite { views, .. } => of_store(options, &store, views).await,
        Opened::Postgres { views, .. } => of_store(options, &store, views).await,
    };
    store.close().await;
    standing
}

async fn of_store<V: ProjectionStore + Clone>(
    options: &ReportOptions,
    store: &Opened,
    views: &V,
) -> Result<Standing, ShopError> {
    let look = &options.look;
    let mut views = Views::start(look.store.to_string(), &store.log(), views, look.rebuild).await?;
    let from = views.from();
    let (report, read_models, position) = if options.check {
        let mut books = Books::default();
        let (figures, position) = views.figures_with(&mut books).await?;
        let differences = figures.differences(&books.figures)?;
        let read_models = ReadModelsSummary::at(position).compared(differences);
        (Report::of(&figures), read_models, position)
    } else {
        let (figures, position) = views.figures().await?;
        (
            Report::of(&figures),
            ReadModelsSummary::at(position),
            position,
        )
    };
    views.stop().await?;
    Ok(Standing {
        store: look.store.to_string(),
        new_events: position.get().saturating_sub(from.get()),
        report,
        read_models,
    })
}
