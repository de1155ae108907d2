//! The door between nodes: only certificates of nodes come in here.

use crate::server::link::{self, Link, is_node};
use crate::server::node::Node;
use crate::server::status;
use crate::server::streams::Streamed;
use merit_proto::v1;
use merit_proto::v1::replication_service_server::ReplicationService;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// The service.
#[derive(Clone)]
pub struct Replication {
    /// The node.
    pub node: Arc<Node>,
}

impl Replication {
    fn link<T>(&self, request: &Request<T>) -> Result<&Arc<Link>, Status> {
        if !is_node(request) {
            return Err(status::role_not_permitted("nodes of the exchange"));
        }
        let none =
            || Status::failed_precondition("this node is configured without others (replication.nodes)");
        self.node.link.as_ref().ok_or_else(none)
    }
}

#[tonic::async_trait]
impl ReplicationService for Replication {
    type FollowJournalStream = Streamed<v1::FollowJournalResponse>;
    type ReadSnapshotStream = Streamed<v1::ReadSnapshotResponse>;

    async fn follow_journal(
        &self,
        request: Request<Streaming<v1::FollowJournalRequest>>,
    ) -> Result<Response<Self::FollowJournalStream>, Status> {
        let link = self.link(&request)?;
        link::follow_journal(link, request.into_inner()).await
    }

    async fn get_standing(
        &self,
        request: Request<v1::GetStandingRequest>,
    ) -> Result<Response<v1::GetStandingResponse>, Status> {
        let standing = self.link(&request)?.standing().await?;
        Ok(Response::new(v1::GetStandingResponse { standing: Some(standing) }))
    }

    async fn claim_epoch(
        &self,
        request: Request<v1::ClaimEpochRequest>,
    ) -> Result<Response<v1::ClaimEpochResponse>, Status> {
        let link = self.link(&request)?;
        link::claim_epoch(link, request.get_ref()).await.map(Response::new)
    }

    async fn take_over(
        &self,
        request: Request<v1::TakeOverRequest>,
    ) -> Result<Response<v1::TakeOverResponse>, Status> {
        let link = self.link(&request)?;
        let epoch = link::take_over(link, request.get_ref()).await?;
        Ok(Response::new(v1::TakeOverResponse { epoch }))
    }

    async fn read_snapshot(
        &self,
        request: Request<v1::ReadSnapshotRequest>,
    ) -> Result<Response<Self::ReadSnapshotStream>, Status> {
        let link = self.link(&request)?;
        link::read_snapshot(link, &self.node.model, request.get_ref()).await
    }
}
