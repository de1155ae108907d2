//! Numbers of events: each stream counts its own, without gaps.

use crate::event::{Event, EventBody, Stream};
use crate::ids::MemberId;
use crate::snapshot::state_struct;
use alloc::vec::Vec;

/// How many events each stream has had.
#[derive(Debug, Default)]
pub(super) struct Streams {
    market: u64,
    dispatch: u64,
    settlement: u64,
    operator: u64,
    members: Vec<u64>,
}

state_struct! { Streams { market, dispatch, settlement, operator, members } }

impl Streams {
    /// Number of the last event of a stream; 0 if it had none.
    pub(super) fn head(&self, stream: Stream) -> u64 {
        match stream {
            Stream::Market => self.market,
            Stream::Dispatch => self.dispatch,
            Stream::Settlement => self.settlement,
            Stream::Operator => self.operator,
            Stream::Member(member) => self.members.get(index(member)).copied().unwrap_or(0),
        }
    }

    /// Every stream that had an event, with the number of its last one.
    pub(super) fn heads(&self) -> impl Iterator<Item = (Stream, u64)> {
        let shared = [Stream::Market, Stream::Dispatch, Stream::Settlement, Stream::Operator];
        let members = (0..self.members.len()).filter_map(|n| u32::try_from(n).ok());
        let all = shared.into_iter().chain(members.map(|n| Stream::Member(MemberId(n))));
        all.map(|stream| (stream, self.head(stream))).filter(|(_, head)| *head > 0)
    }

    fn next(&mut self, stream: Stream) -> u64 {
        let head = match stream {
            Stream::Market => &mut self.market,
            Stream::Dispatch => &mut self.dispatch,
            Stream::Settlement => &mut self.settlement,
            Stream::Operator => &mut self.operator,
            Stream::Member(member) => {
                let at = index(member);
                if self.members.len() <= at {
                    self.members.resize(at + 1, 0);
                }
                &mut self.members[at]
            }
        };
        *head += 1;
        *head
    }
}

fn index(member: MemberId) -> usize {
    usize::try_from(member.0).expect("limits::MEMBERS_MAX fits")
}

/// Where the events of one command go.
pub(super) struct Out<'a> {
    /// Sequence number of the command.
    pub(super) seq: u64,
    /// Its epoch.
    pub(super) epoch: u32,
    /// Its time, µs UTC.
    pub(super) time_us: i64,
    streams: &'a mut Streams,
    /// Nothing where nobody hears them: then they are counted, and those of submitted orders, nearly all, are not made.
    events: Option<&'a mut Vec<Event>>,
}

impl<'a> Out<'a> {
    pub(super) fn new(
        (seq, epoch, time_us): (u64, u32, i64),
        streams: &'a mut Streams,
        events: Option<&'a mut Vec<Event>>,
    ) -> Self {
        Self { seq, epoch, time_us, streams, events }
    }

    /// Says something.
    pub(super) fn say(&mut self, stream: Stream, body: EventBody) {
        self.say_made(stream, &mut Some(body), |it| it.take().expect("asked once"));
    }

    /// As [`Self::say`], of what is said so often that it is put together where it stays, out of what `parts` has.
    #[inline(always)]
    pub(super) fn say_made<P>(&mut self, stream: Stream, parts: &mut P, make: impl Fn(&mut P) -> EventBody) {
        let stream_seq = self.streams.next(stream);
        let Self { seq, epoch, time_us, .. } = *self;
        let Some(events) = &mut self.events else { return };
        if events.capacity() == 0 {
            // Most commands say one thing, and a list that grows by itself begins with room for four.
            events.reserve_exact(1);
        }
        let event = |it: &mut P| Event { seq, epoch, time_us, stream, stream_seq, body: make(it) };
        events.extend(core::iter::once(parts).map(event));
    }
}
