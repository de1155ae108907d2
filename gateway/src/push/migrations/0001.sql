-- Version 1: what the settlement stream says, and how far.
create table merit.mark (
    one_row boolean primary key default true check (one_row),
    epoch bigint not null,
    seq bigint not null
);
insert into merit.mark (epoch, seq) values (0, 0);

create table merit.message (
    seq bigint primary key,
    epoch bigint not null,
    kind text not null,
    digest bytea not null
);

create table merit.obligation (
    obligation_id bigint primary key,
    seq bigint not null,
    auction_id text not null,
    delivery_day text not null,
    block integer not null,
    member text not null,
    portfolio text not null,
    area text not null,
    bought_watts bigint not null,
    sold_watts bigint not null,
    price_micros_per_mwh bigint not null,
    value_micros bigint not null,
    fee_micros bigint not null,
    tax_micros bigint not null,
    digest bytea not null
);
create index on merit.obligation (delivery_day, member);

create table merit.entry (
    entry_id bigint primary key,
    seq bigint not null,
    cause text not null,
    auction_id text not null,
    delivery_day text,
    run integer,
    reverses bigint,
    reason text,
    effective_day text,
    reference text,
    currency text not null
);

create table merit.posting (
    entry_id bigint not null references merit.entry,
    line integer not null,
    account text not null,
    amount_micros bigint not null,
    primary key (entry_id, line)
);
create index on merit.posting (account);

create table merit.run_member (
    delivery_day text not null,
    run integer not null,
    member text not null,
    status text not null,
    energy_micros bigint not null,
    fee_micros bigint not null,
    tax_micros bigint not null,
    deviation_micros bigint not null,
    net_micros bigint not null,
    primary key (delivery_day, run, member)
);

create view merit.balance as
    select account, sum(amount_micros) as amount_micros from merit.posting group by account;
