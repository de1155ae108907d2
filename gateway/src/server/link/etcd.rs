//! A client of etcd: a lease, a few keys, and changes that happen only if nobody was faster.

use merit_proto::etcd as rpc;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use merit_proto::etcd::compare::{CompareResult, CompareTarget, TargetUnion};
use merit_proto::etcd::kv_client::KvClient;
use merit_proto::etcd::lease_client::LeaseClient;
use merit_proto::etcd::request_op::Request;
use merit_proto::etcd::response_op::Response;

/// How long etcd may take to answer.
const ANSWER_MAX: Duration = Duration::from_millis(700);
/// How many members are asked at most.
const TRIES: u32 = 4;

/// A key with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: String,
    pub(super) revision: i64,
    /// The lease with which it goes; 0 if none.
    pub(super) lease: i64,
}

/// What must hold for a change.
pub(super) enum If<'a> {
    /// Nobody has the key.
    Absent(&'a str),
    /// The key is as it was read.
    Unchanged(&'a str, i64),
}

/// Puts a key, under a lease or for good.
pub(super) struct Put<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) lease: i64,
}

/// The cluster.
#[derive(Clone)]
pub(super) struct Etcd {
    channel: Channel,
}

impl Etcd {
    /// Nothing is connected before the first call.
    pub(super) fn new(endpoints: &[String]) -> Result<Self, String> {
        let endpoint = |it: &String| {
            let made = Endpoint::from_shared(it.clone())
                .map_err(|error| format!("lease.endpoints: {it}: {error}"))?;
            Ok(made.connect_timeout(Duration::from_millis(300)).timeout(ANSWER_MAX).tcp_nodelay(true))
        };
        let made: Result<Vec<Endpoint>, String> = endpoints.iter().map(endpoint).collect();
        Ok(Self { channel: Channel::balance_list(made?.into_iter()) })
    }

    /// The values of some keys at one moment.
    pub(super) async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Entry>>, String> {
        let range = |key: &&str| rpc::RequestOp {
            request: Some(Request::RequestRange(rpc::RangeRequest {
                key: key.as_bytes().to_vec(),
                range_end: vec![],
            })),
        };
        let request =
            rpc::TxnRequest { compare: vec![], success: keys.iter().map(range).collect(), failure: vec![] };
        let answer = self.txn(request).await?;
        let entry = |it: rpc::ResponseOp| match it.response {
            Some(Response::ResponseRange(range)) => range.kvs.into_iter().next().map(|kv| Entry {
                value: String::from_utf8_lossy(&kv.value).into_owned(),
                revision: kv.mod_revision,
                lease: kv.lease,
            }),
            Some(Response::ResponsePut(_) | Response::ResponseDeleteRange(_)) | None => None,
        };
        let entries: Vec<_> = answer.responses.into_iter().map(entry).collect();
        if entries.len() == keys.len() { Ok(entries) } else { Err("etcd answered something else".to_owned()) }
    }

    /// Puts some keys if all conditions hold; whether they did.
    pub(super) async fn put_if(&self, conditions: &[If<'_>], puts: &[Put<'_>]) -> Result<bool, String> {
        let compare = |it: &If<'_>| {
            let (key, revision) = match it {
                If::Absent(key) => (*key, 0),
                If::Unchanged(key, revision) => (*key, *revision),
            };
            rpc::Compare {
                result: CompareResult::Equal.into(),
                target: CompareTarget::Mod.into(),
                key: key.as_bytes().to_vec(),
                target_union: Some(TargetUnion::ModRevision(revision)),
            }
        };
        let put = |it: &Put<'_>| rpc::RequestOp {
            request: Some(Request::RequestPut(rpc::PutRequest {
                key: it.key.as_bytes().to_vec(),
                value: it.value.as_bytes().to_vec(),
                lease: it.lease,
            })),
        };
        let compare = conditions.iter().map(compare).collect();
        let request = rpc::TxnRequest { compare, success: puts.iter().map(put).collect(), failure: vec![] };
        Ok(self.txn(request).await?.succeeded)
    }

    async fn txn(&self, request: rpc::TxnRequest) -> Result<rpc::TxnResponse, String> {
        let client = KvClient::new(self.channel.clone());
        asked(|| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { Ok(client.txn(request).await?.into_inner()) }
        })
        .await
    }

    /// A new lease.
    pub(super) async fn grant(&self, seconds: i64) -> Result<i64, String> {
        let client = LeaseClient::new(self.channel.clone());
        let request = rpc::LeaseGrantRequest { ttl: seconds, id: 0 };
        asked(|| {
            let mut client = client.clone();
            async move { Ok(client.lease_grant(request).await?.into_inner().id) }
        })
        .await
    }

    /// Renews a lease; false if it has run out.
    pub(super) async fn keep(&self, lease: i64) -> Result<bool, String> {
        let client = LeaseClient::new(self.channel.clone());
        let renewed = asked(|| {
            let request = tokio_stream::iter([rpc::LeaseKeepAliveRequest { id: lease }]);
            let mut client = client.clone();
            async move { client.lease_keep_alive(request).await?.into_inner().message().await }
        });
        Ok(renewed.await?.is_some_and(|it| it.ttl > 0))
    }
}

/// Asks, and asks again where a member could not be reached: the next call goes to another one. What was done though
/// its answer is lost fails its conditions the second time.
async fn asked<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, String> {
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = tokio::time::timeout(ANSWER_MAX, call()).await;
        match answer.map_err(|_| "etcd does not answer".to_owned())? {
            Ok(answer) => return Ok(answer),
            Err(status) if status.code() == Code::Unavailable && tries < TRIES => {}
            Err(status) => return Err(status.message().to_owned()),
        }
    }
}
