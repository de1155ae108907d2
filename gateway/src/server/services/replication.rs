//! The standby's door: in the contract, not in this release.

use crate::server::node::Node;
use crate::server::status;
use crate::server::streams::Streamed;
use merit_proto::v1;
use merit_proto::v1::replication_service_server::ReplicationService;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

const LATER: &str = "the standby comes with a later release";

/// The service.
#[derive(Clone)]
pub struct Replication {
    /// The node.
    pub node: Arc<Node>,
}

#[tonic::async_trait]
impl ReplicationService for Replication {
    type FollowJournalStream = Streamed<v1::FollowJournalResponse>;
    type ReadSnapshotStream = Streamed<v1::ReadSnapshotResponse>;

    async fn follow_journal(
        &self,
        request: Request<Streaming<v1::FollowJournalRequest>>,
    ) -> Result<Response<Self::FollowJournalStream>, Status> {
        self.node.caller(&request)?;
        Err(status::not_implemented(LATER))
    }

    async fn read_snapshot(
        &self,
        request: Request<v1::ReadSnapshotRequest>,
    ) -> Result<Response<Self::ReadSnapshotStream>, Status> {
        self.node.caller(&request)?;
        Err(status::not_implemented(LATER))
    }
}
