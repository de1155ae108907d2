//! The dispatch centre's calls: repeated with the same request id until answered.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use merit_client::{CallError, Client, Config, Retry, v1};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_stream::Stream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use v1::dispatch_service_server::{DispatchService, DispatchServiceServer};

/// Fails the first call after it has carried it out, and notes the ids it was called with.
#[derive(Clone, Default)]
struct Exchange {
    ids: Arc<Mutex<Vec<String>>>,
    failures: Arc<Mutex<Vec<Code>>>,
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not in the stub"))
}

#[tonic::async_trait]
impl DispatchService for Exchange {
    type StreamSchedulesStream = Out<v1::StreamSchedulesResponse>;
    type StreamScheduleChangesStream = Out<v1::StreamScheduleChangesResponse>;
    type StreamDispatchStream = Out<v1::StreamDispatchResponse>;

    async fn submit_transfer_capacity(
        &self,
        request: Request<v1::SubmitTransferCapacityRequest>,
    ) -> Result<Response<v1::SubmitTransferCapacityResponse>, Status> {
        let request_id = request.into_inner().request_id;
        let mut ids = self.ids.lock().unwrap();
        let replayed = ids.contains(&request_id);
        ids.push(request_id.clone());
        if let Some(code) = self.failures.lock().unwrap().pop() {
            return Err(Status::new(code, "told to fail"));
        }
        let answer = Some(v1::RequestAnswer { request_id, replayed, ..Default::default() });
        Ok(Response::new(v1::SubmitTransferCapacityResponse { answer }))
    }

    async fn get_corridor_request(
        &self,
        request: Request<v1::GetCorridorRequestRequest>,
    ) -> Result<Response<v1::GetCorridorRequestResponse>, Status> {
        self.ids.lock().unwrap().push(request.into_inner().auction_id);
        match self.failures.lock().unwrap().pop() {
            Some(code) => Err(Status::new(code, "told to fail")),
            None => Ok(Response::new(v1::GetCorridorRequestResponse::default())),
        }
    }

    async fn get_schedules(
        &self,
        _: Request<v1::GetSchedulesRequest>,
    ) -> Result<Response<v1::GetSchedulesResponse>, Status> {
        nothing()
    }

    async fn stream_schedules(
        &self,
        _: Request<v1::StreamSchedulesRequest>,
    ) -> Result<Response<Self::StreamSchedulesStream>, Status> {
        nothing()
    }

    async fn get_schedule_changes(
        &self,
        _: Request<v1::GetScheduleChangesRequest>,
    ) -> Result<Response<v1::GetScheduleChangesResponse>, Status> {
        nothing()
    }

    async fn stream_schedule_changes(
        &self,
        _: Request<v1::StreamScheduleChangesRequest>,
    ) -> Result<Response<Self::StreamScheduleChangesStream>, Status> {
        nothing()
    }

    async fn acknowledge_schedule(
        &self,
        _: Request<v1::AcknowledgeScheduleRequest>,
    ) -> Result<Response<v1::AcknowledgeScheduleResponse>, Status> {
        nothing()
    }

    async fn stream_dispatch(
        &self,
        _: Request<v1::StreamDispatchRequest>,
    ) -> Result<Response<Self::StreamDispatchStream>, Status> {
        nothing()
    }
}

async fn served() -> (Exchange, Client) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let exchange = Exchange::default();
    let service = DispatchServiceServer::new(exchange.clone());
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let mut config = Config::plaintext_loopback(&[&endpoint], "dispatch");
    config.retry = Retry { attempts: 3, wait_first: Duration::from_millis(1), ..Retry::default() };
    (exchange, Client::new(config).unwrap())
}

fn capacities() -> v1::SubmitTransferCapacityRequest {
    v1::SubmitTransferCapacityRequest { request_id: "cap-1".to_string(), revision: 1, ..Default::default() }
}

#[tokio::test]
async fn a_write_is_repeated_with_its_id_and_ends_as_unknown() {
    let (exchange, client) = served().await;
    *exchange.failures.lock().unwrap() = vec![Code::Unavailable];
    let answer = client.submit_transfer_capacity(capacities()).await.unwrap().answer.unwrap();
    assert!(answer.replayed);
    assert_eq!(*exchange.ids.lock().unwrap(), ["cap-1", "cap-1"]);
    *exchange.failures.lock().unwrap() = vec![Code::Unavailable; 3];
    let error = client.submit_transfer_capacity(capacities()).await.unwrap_err();
    assert!(
        matches!(&error, CallError::OutcomeUnknown { client_order_id, .. } if client_order_id == "cap-1"),
        "{error}"
    );
}

#[tokio::test]
async fn a_read_is_repeated_unless_its_status_is_final() {
    let (exchange, client) = served().await;
    *exchange.failures.lock().unwrap() = vec![Code::Unavailable];
    let request = v1::GetCorridorRequestRequest { auction_id: "DAM-2026-11-24".to_string() };
    client.get_corridor_request(request.clone()).await.unwrap();
    *exchange.failures.lock().unwrap() = vec![Code::PermissionDenied];
    let error = client.get_corridor_request(request).await.unwrap_err();
    assert!(
        matches!(&error, CallError::Status(status) if status.code() == Code::PermissionDenied),
        "{error}"
    );
    assert_eq!(exchange.ids.lock().unwrap().len(), 3);
}
