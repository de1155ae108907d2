//! Bytes of what the clearing house asks.

use super::bytes::{Codec, Malformed, Take, choices, fields};
use merit_engine::calendar::Day;
use merit_engine::ids::{MemberId, PortfolioId, TextId};
use merit_engine::settlement::{
    Band, BandTable, Basis, Category, DeviationRules, Hold, HoldEnd, MeterBatch, MeterRow, Payment, Placing,
    Rate, RunRequest, RunStatus, Scheme, SettlementAction,
};
use std::sync::Arc;

choices!("status of a run", RunStatus { 0 = Provisional, 1 = Final, 2 = Resettled });
choices!("price basis", Basis { 0 = Reference, 1 = Normal });
choices!("end of a hold", HoldEnd { 0 = Posted, 1 = Released });

fields!(RunRequest { day: Day, status: RunStatus, reason: String, effective: Day });
fields!(MeterRow { portfolio: PortfolioId, area: TextId, net_wh: Vec<i64>, estimated: Vec<u16> });
fields!(MeterBatch {
    day: Day,
    revision: u32,
    content: [u8; 32],
    readings: u64,
    estimated: u64,
    total_wh: i64,
    frequency_mhz: Vec<u32>,
    rows: Vec<MeterRow>,
});
fields!(Rate { basis: Basis, millionths: u32 });
fields!(Band { until_millionths: u32, over: Rate, under: Rate });
fields!(BandTable { below_mhz: u32, bands: Vec<Band> });
fields!(Category { name: TextId, tables: Vec<BandTable> });
fields!(Placing { portfolio: PortfolioId, category: u16, capacity_watts: i64 });
fields!(DeviationRules { effective_from: Day, scheme: Scheme, placings: Vec<Placing> });
fields!(Payment { member: MemberId, minor: i64, value_day: Day, reference: TextId });
fields!(Hold { member: MemberId, minor: i64, reason: String });

impl Codec for Scheme {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bands(categories) => {
                out.push(0);
                categories.put(out);
            }
            Self::TwoPrice => out.push(1),
        }
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Codec::take(from).map(Self::Bands),
            1 => Ok(Self::TwoPrice),
            tag => Err(Malformed::Tag("scheme of deviations", tag)),
        }
    }
}

impl Codec for SettlementAction {
    const BYTES_MIN: usize = 1;

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::SetDeviation(rules) => {
                out.push(0);
                rules.put(out);
            }
            Self::Meter(batch) => {
                out.push(1);
                batch.as_ref().put(out);
            }
            Self::Run(request) => {
                out.push(2);
                request.put(out);
            }
            Self::Pay(payment) => {
                out.push(3);
                payment.put(out);
            }
            Self::Hold(hold) => {
                out.push(4);
                hold.put(out);
            }
            Self::EndHold { hold, end } => (5_u8, *hold, *end).put(out),
            Self::Acknowledge { stream_seq, epoch } => (6_u8, *stream_seq, *epoch).put(out),
        }
    }

    fn take(from: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(match u8::take(from)? {
            0 => Self::SetDeviation(Codec::take(from)?),
            1 => Self::Meter(Arc::new(Codec::take(from)?)),
            2 => Self::Run(Codec::take(from)?),
            3 => Self::Pay(Codec::take(from)?),
            4 => Self::Hold(Codec::take(from)?),
            5 => Self::EndHold { hold: Codec::take(from)?, end: Codec::take(from)? },
            6 => Self::Acknowledge { stream_seq: Codec::take(from)?, epoch: Codec::take(from)? },
            tag => return Err(Malformed::Tag("settlement request", tag)),
        })
    }
}
