//! PostgreSQL: everything of a delivery and the new mark in one transaction.
//!
//! The mark's row is locked first, so two senders never interleave, and one of a lower epoch is
//! refused. What is there already must have the same digest. The schema `merit` is made and brought
//! up to date by the migrations in this release.

use super::{Item, Mark, PushError, Target, account_name, after, sha256};
use merit_proto::v1;
use prost::Message as _;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Transaction};
use v1::stream_obligations_response::Event;

/// Migrations in order; version 1 is the first.
const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001.sql")];
/// Key of the advisory lock under which migrations run: "merit" in ASCII.
const MIGRATION_LOCK: i64 = 0x6d_6572_6974;
/// Rows of one statement.
const ROWS_MAX: usize = 20_000;

/// The target.
pub struct Postgres {
    config: String,
    link: Option<Link>,
}

struct Link {
    client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// What PostgreSQL said, with its details.
fn failed(error: &tokio_postgres::Error) -> PushError {
    let text = match error.as_db_error() {
        Some(db) => format!("PostgreSQL: {db}"),
        None => format!("PostgreSQL: {error}"),
    };
    PushError::Unreachable(text)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

impl Postgres {
    /// A target for a connection string (`host=... user=... dbname=...` or `postgres://...`).
    #[must_use]
    pub fn new(config: String) -> Self {
        Self { config, link: None }
    }

    /// Connects and migrates.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached or refuses.
    pub async fn connect(config: &str) -> Result<(Client, JoinHandle<()>), PushError> {
        let (mut client, connection) =
            tokio_postgres::connect(config, NoTls).await.map_err(|error| failed(&error))?;
        let connection = tokio::spawn(async move {
            // The client's next call says what ended the connection.
            drop(connection.await);
        });
        migrate(&mut client).await.map_err(|error| failed(&error))?;
        Ok((client, connection))
    }

    async fn link(&mut self) -> Result<&mut Link, PushError> {
        if self.link.as_ref().is_none_or(|it| it.client.is_closed()) {
            let (client, connection) = Self::connect(&self.config).await?;
            self.link = Some(Link { client, connection });
        }
        Ok(self.link.as_mut().expect("made above"))
    }

    async fn book(&mut self, epoch: u64, items: &[Item]) -> Result<Mark, PushError> {
        let link = self.link().await?;
        let transaction = link.client.transaction().await.map_err(|error| failed(&error))?;
        let row = transaction
            .query_one("select epoch, seq from merit.mark for update", &[])
            .await
            .map_err(|error| failed(&error))?;
        let mark = Mark { epoch: unsigned(row.get(0)), seq: unsigned(row.get(1)) };
        let new = after(mark, epoch, items)?;
        let booked = book_all(&transaction, new).await.map_err(|error| failed(&error))?;
        if booked != new.len() {
            let text = "a message with the same number and another digest is there".into();
            return Err(PushError::Contradiction(text));
        }
        let seq = new.last().map_or(mark.seq, |it| it.seq);
        transaction
            .execute("update merit.mark set epoch = $1, seq = $2", &[&signed(epoch), &signed(seq)])
            .await
            .map_err(|error| failed(&error))?;
        transaction.commit().await.map_err(|error| failed(&error))?;
        Ok(Mark { epoch, seq })
    }
}

/// Brings the schema up to date; safe against others doing the same.
async fn migrate(client: &mut Client) -> Result<(), tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    transaction.execute("select pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    let first = "create schema if not exists merit;
        create table if not exists merit.migration (version integer primary key,
            applied_at timestamptz not null default now())";
    transaction.batch_execute(first).await?;
    let row = transaction.query_one("select coalesce(max(version), 0) from merit.migration", &[]).await?;
    let has: i32 = row.get(0);
    for (version, script) in (1_i32..).zip(MIGRATIONS) {
        if version > has {
            transaction.batch_execute(script).await?;
            transaction.execute("insert into merit.migration (version) values ($1)", &[&version]).await?;
        }
    }
    transaction.commit().await
}

/// Books messages; returns how many are there with their digest.
async fn book_all(transaction: &Transaction<'_>, items: &[Item]) -> Result<usize, tokio_postgres::Error> {
    let mut booked = 0;
    for item in items {
        let (seq, epoch) = (signed(item.seq), signed(item.epoch));
        let kind = match &item.message.event {
            Some(Event::Obligations(batch)) => {
                obligations(transaction, seq, batch).await?;
                "obligations"
            }
            Some(Event::Ledger(batch)) => {
                entries(transaction, seq, batch).await?;
                "ledger"
            }
            Some(Event::Run(run)) => {
                run_members(transaction, run).await?;
                "run"
            }
            Some(Event::Metered(_)) => "metered",
            Some(Event::DeviationRules(_)) => "deviation rules",
            Some(Event::Heartbeat(_) | Event::GoingAway(_)) | None => "nothing",
        };
        let digest: &[u8] = &item.digest;
        let written = transaction
            .execute(
                "insert into merit.message (seq, epoch, kind, digest) values ($1, $2, $3, $4)
                 on conflict (seq) do update set seq = excluded.seq
                 where merit.message.digest = excluded.digest",
                &[&seq, &epoch, &kind, &digest],
            )
            .await?;
        booked += usize::try_from(written).unwrap_or(0);
    }
    Ok(booked)
}

async fn obligations(
    transaction: &Transaction<'_>,
    seq: i64,
    batch: &v1::ObligationBatch,
) -> Result<(), tokio_postgres::Error> {
    let insert = "insert into merit.obligation
        select id, $1::bigint, $2::text, day, block, member, portfolio, area, bought, sold, price, value, fee, tax, digest
        from unnest($3::bigint[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::text[], $9::bigint[],
            $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bytea[])
            as it(id, day, block, member, portfolio, area, bought, sold, price, value, fee, tax, digest)
        on conflict (obligation_id) do nothing";
    let statement = transaction.prepare(insert).await?;
    for some in batch.obligations.chunks(ROWS_MAX) {
        let numbers = |of: fn(&v1::Obligation) -> i64| some.iter().map(of).collect::<Vec<i64>>();
        let texts = |of: fn(&v1::Obligation) -> &str| some.iter().map(of).collect::<Vec<&str>>();
        let days = texts(|it| it.row.as_ref().map_or("", |row| &row.delivery_day));
        let blocks: Vec<i32> = some
            .iter()
            .map(|it| it.row.as_ref().and_then(|row| i32::try_from(row.block).ok()).unwrap_or(0))
            .collect();
        let digests: Vec<Vec<u8>> = some.iter().map(|it| sha256(&it.encode_to_vec()).to_vec()).collect();
        transaction
            .execute(
                &statement,
                &[
                    &seq,
                    &batch.auction_id,
                    &numbers(|it| signed(it.obligation_id)),
                    &days,
                    &blocks,
                    &texts(|it| &it.member),
                    &texts(|it| &it.portfolio),
                    &texts(|it| &it.area),
                    &numbers(|it| it.bought_watts),
                    &numbers(|it| it.sold_watts),
                    &numbers(|it| it.price_micros_per_mwh),
                    &numbers(|it| it.value_micros),
                    &numbers(|it| it.fee_micros),
                    &numbers(|it| it.tax_micros),
                    &digests,
                ],
            )
            .await?;
    }
    Ok(())
}

async fn entries(
    transaction: &Transaction<'_>,
    seq: i64,
    batch: &v1::LedgerBatch,
) -> Result<(), tokio_postgres::Error> {
    let (mut ids, mut lines, mut accounts, mut amounts) = (vec![], vec![], vec![], vec![]);
    let statement = transaction
        .prepare(
            "insert into merit.entry (entry_id, seq, cause, auction_id, delivery_day, run, reverses, reason,
                 effective_day, reference, currency)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (entry_id) do nothing",
        )
        .await?;
    for it in &batch.entries {
        let id = signed(it.entry_id);
        let run = it.run.and_then(|it| i32::try_from(it).ok());
        let reverses = it.reverses.map(signed);
        let cause = it.cause().as_str_name().trim_start_matches("ENTRY_CAUSE_").to_ascii_lowercase();
        transaction
            .execute(
                &statement,
                &[
                    &id,
                    &seq,
                    &cause,
                    &it.auction_id,
                    &it.delivery_day,
                    &run,
                    &reverses,
                    &it.reason,
                    &it.effective_day,
                    &it.reference,
                    &it.currency,
                ],
            )
            .await?;
        for (line, posting) in (1_i32..).zip(&it.postings) {
            ids.push(id);
            lines.push(line);
            accounts.push(account_name(posting.account.as_ref()));
            amounts.push(posting.amount_micros);
        }
    }
    let insert = "insert into merit.posting select * from unnest($1::bigint[], $2::integer[], $3::text[],
        $4::bigint[]) on conflict (entry_id, line) do nothing";
    transaction.execute(insert, &[&ids, &lines, &accounts, &amounts]).await?;
    Ok(())
}

async fn run_members(
    transaction: &Transaction<'_>,
    run: &v1::SettlementRun,
) -> Result<(), tokio_postgres::Error> {
    let number = i32::try_from(run.run).unwrap_or(i32::MAX);
    let status = run.status().as_str_name().trim_start_matches("RUN_STATUS_").to_ascii_lowercase();
    let amounts = |of: fn(&v1::MemberNet) -> i64| run.members.iter().map(of).collect::<Vec<i64>>();
    let members: Vec<&str> = run.members.iter().map(|it| it.member.as_str()).collect();
    let insert = "insert into merit.run_member
        select $1::text, $2::integer, member, $3::text, energy, fee, tax, deviation, net
        from unnest($4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
            as it(member, energy, fee, tax, deviation, net)
        on conflict (delivery_day, run, member) do nothing";
    transaction
        .execute(
            insert,
            &[
                &run.delivery_day,
                &number,
                &status,
                &members,
                &amounts(|it| it.energy_micros),
                &amounts(|it| it.fee_micros),
                &amounts(|it| it.tax_micros),
                &amounts(|it| it.deviation_micros),
                &amounts(|it| it.net_micros),
            ],
        )
        .await?;
    Ok(())
}

#[tonic::async_trait]
impl Target for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    async fn mark(&mut self) -> Result<Mark, PushError> {
        let link = self.link().await?;
        let row = link.client.query_one("select epoch, seq from merit.mark", &[]).await;
        let row = row.map_err(|error| failed(&error))?;
        Ok(Mark { epoch: unsigned(row.get(0)), seq: unsigned(row.get(1)) })
    }

    async fn deliver(&mut self, epoch: u64, items: &[Item]) -> Result<Mark, PushError> {
        let booked = self.book(epoch, items).await;
        if matches!(booked, Err(PushError::Unreachable(_))) {
            // Whatever state the connection is in, a new one has none of it.
            self.link = None;
        }
        booked
    }
}
